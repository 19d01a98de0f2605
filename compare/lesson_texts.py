"""Every word of the lesson; a translation is another module with these names."""

LABELS = {
    "accuracy": "correct",
    "contents": "Contents",
    "epoch": "epoch",
    "forward passes": "forward passes per gradient",
    "loss": "loss",
    "parameters": "parameters",
    "predicted": "predicted",
    "relative difference": "relative difference",
    "seconds per gradient": "seconds per gradient",
    "skip": "Skip to the text",
    "slope": "slope",
    "step": "step",
    "test": "test",
    "theme": "Light or dark",
    "training": "training",
}
