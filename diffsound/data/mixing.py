class Mixing:
    def __init__(self, per_clip: int = 1) -> None:
        self.per_clip = per_clip
