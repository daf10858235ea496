from .quality import ClassifierJudgement as ClassifierJudgement
from .quality import judge_classifier as judge_classifier
from .settings import ClassifySettings as ClassifySettings
from .train import TrainingResult as TrainingResult
from .train import train_classifier as train_classifier
from .validation import average_precision as average_precision
