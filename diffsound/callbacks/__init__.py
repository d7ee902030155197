"""What happens around training and prediction: one callback a file."""

from diffsound.callbacks.token_store_writer import TokenStoreCallback

__all__ = ["TokenStoreCallback"]
