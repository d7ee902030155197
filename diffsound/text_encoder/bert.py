"""BERT and its relatives (arXiv:1810.04805) as text encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffsound.plain_weights import is_finite
from diffsound.text_encoder.module import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class BERTTextEncoder(TextEncoder):
    """Last hidden state of a transformers encoder at every token.

    Args:
        path: a folder that transformers' `save_pretrained` wrote (model and tokenizer), or a name on the Hugging Face
            hub such as `google-bert/bert-base-uncased`.
    Raises:
        ValueError: if there is no complete model at `path`.
    """

    def __init__(self, path: str, trainable: bool = False, max_tokens: int = 128, cache_size: int = 8192) -> None:
        from transformers import AutoModel

        tokenizer = _read_tokenizer(path)
        try:
            model, info = AutoModel.from_pretrained(path, output_loading_info=True, trust_remote_code=False,
                                                    weights_only=True)
        except (OSError, ValueError) as error:
            raise _absent(path, error) from error
        missing = sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))
        if missing:  # transformers would go on with random numbers
            raise ValueError(f"the model at text_encoder.init_args.path = {path} lacks {len(missing)} weights, "
                             f"{missing[0]} among them")
        if unfit := [name for name, value in model.state_dict().items() if not is_finite(value)]:
            raise ValueError(f"the model at text_encoder.init_args.path = {path} has NaN or infinite weights, "
                             f"{unfit[0]} among them")
        longest = getattr(model.config, "max_position_embeddings", max_tokens)
        if not 2 <= max_tokens <= longest:
            raise ValueError(f"text_encoder.init_args.max_tokens {max_tokens} must be in 2..{longest} for the "
                             f"model at {path}")
        super().__init__(model.config.hidden_size, max_tokens, trainable, cache_size)
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # embeds the whole text; we want its tokens
        self.tokenizer, self.model, self.mask_token = tokenizer, model, _mask_token(tokenizer)
        self.requires_grad_(trainable)
        self.train(trainable)

    @classmethod
    def read_mask_token(cls, path: str, **_: Any) -> str:
        return _mask_token(_read_tokenizer(path))

    def tokenize(self, text: str) -> list[int]:
        return self.tokenizer(text, verbose=False)["input_ids"]  # verbose would warn of a long text; token_ids does

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state


def _read_tokenizer(path: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _absent(path, error) from error


def _absent(path: str, error: Exception) -> ValueError:
    return ValueError(f"no BERT at text_encoder.init_args.path = {path} ({str(error).strip().splitlines()[0]}): "
                      "give a folder with config.json, model.safetensors and the tokenizer's files")


def _mask_token(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.mask_token or TextEncoder.mask_token
