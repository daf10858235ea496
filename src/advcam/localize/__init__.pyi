from .levels import boxes as boxes
from .levels import boxes_at_levels as boxes_at_levels
from .levels import grey_level as grey_level
from .normalize import ivr as ivr
from .normalize import maximum as maximum
from .normalize import min_max as min_max
from .normalize import pas as pas
from .objects import find_objects as find_objects
