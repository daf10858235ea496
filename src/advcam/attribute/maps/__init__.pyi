from .acol import ACoL as ACoL
from .cam import CAM as CAM
from .gradcam import GradCAM as GradCAM
from .gradcam_pp import GradCAMpp as GradCAMpp
from .layercam import LayerCAM as LayerCAM
from .seam import SEAM as SEAM
from .sub_categories import SubCategories as SubCategories
from .tokens import Tokens as Tokens
