"""Command lines on the small world of ``tests/hostile``, by verb."""

VERBS = {
    "doctor": "doctor --data photos",
    "doctor classifier": "doctor --data photos --classifier classifier --device cpu",
    "run": "run --out run",
    "fresh run": "run --data photos --out fresh --classifier classifier --device cpu --climb.steps 1",
    "classify": "classify --data photos --out fresh --device cpu --backbone.architecture timm/test_resnet "
    "--backbone.weights null --classify.batch_size 2 --classify.epochs 1 --classify.workers 0",
    "attribute": "attribute --out run",
    "refine": "refine --out run --refine.method none --refine.rule confident --overwrite",
    "localize": "localize --out run --localize.threshold 0.5 --overwrite",
    "evaluate": "evaluate --out run",
    "segment": "segment --out run --segment.method deeplab --segment.architecture timm/test_resnet --segment.weights "
    "null --segment.output_stride 16 --segment.rates [1] --segment.pyramid [] --segment.crop 32 --segment.batch_size 2 "
    "--segment.updates 1 --segment.workers 0 --segment.samples 0 --segment.freeze_batch_norm false",
    "predict": "predict photos --model network --out labelled --device cpu",
    "export": "export --out run --format coco",
    "export boxes": "export --out run --format labelstudio --what boxes",
    "review": "review --out run",
    "report": "report --out run",
    "import": "import run/export/coco/annotations/instances_default.json --out run",
    "status": "status --out run",
    "analyse": "analyse paper --out run --device cpu",
    "tune": "tune --out run",
}
