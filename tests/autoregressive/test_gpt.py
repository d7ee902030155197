import pytest
import torch
from published import state_dict_of

from diffsound.autoregressive import GPT, Autoregressive, AutoregressiveSampler
from diffsound.draw import truncate
from diffsound.original import keys
from diffsound.text_encoder import Condition, SmallTextEncoder

K, ROWS, COLUMNS = 6, 3, 4
# Names of the original's autoregressive decoder.
ORIGINAL_GPT = [
    (r"tok_emb\.", "token_embedding."),
    (r"pos_emb$", "position_embedding"),
    (r"embedder\.", "text_projection."),
    (r"blocks\.(\d+)\.ln1\.", r"blocks.\1.norm_self."),
    (r"blocks\.(\d+)\.ln2\.", r"blocks.\1.norm_feed."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"blocks.\1.attend_self.out."),
    (r"blocks\.(\d+)\.attn\.(key|query|value)\.", r"blocks.\1.attend_self.\2."),
    (r"blocks\.(\d+)\.mlp\.([02])\.", r"blocks.\1.feed.\2."),
    (r"ln_f\.", "norm."),
    (r"head\.", "head."),
]
ORIGINAL_GPT_DROPS = [(r"blocks\.\d+\.attn\.mask$", "causal masks: made anew")]


def generators(n):
    return [torch.Generator().manual_seed(i) for i in range(n)]


@pytest.fixture
def decoder():
    encoder = SmallTextEncoder(width=16, layers=1)
    network = GPT(K, ROWS, COLUMNS, layers=2, width=16, heads=2, condition_width=16)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Autoregressive(encoder, network).eval()


def test_a_token_sees_only_what_came_before(decoder):
    tokens = torch.randint(K, (1, ROWS * COLUMNS))
    condition = decoder.condition(["rain"])
    base = decoder(tokens, condition)
    for position in range(ROWS * COLUMNS):
        changed = tokens.clone()
        changed[0, position] = (tokens[0, position] + 1) % K
        difference = (decoder(changed, condition) - base).abs().amax(-1)[0]
        assert difference[: position + 1].max() < 1e-5
        if position + 1 < ROWS * COLUMNS:
            assert difference[position + 1 :].max() > 1e-4


def test_cached_steps_equal_the_whole_sequence(decoder):
    tokens = torch.randint(K, (2, ROWS * COLUMNS))
    condition = decoder.condition(["rain", "a dog barks and then it rains"])  # of unequal length
    whole = decoder(tokens, condition)
    logits, caches = decoder.network.start_state(condition)
    for position in range(ROWS * COLUMNS):
        torch.testing.assert_close(logits, whole[:, position], atol=1e-4, rtol=1e-4)
        logits = decoder.network.next_logits(tokens[:, position], position, caches, condition) \
            if position + 1 < ROWS * COLUMNS else logits


def test_sampling_follows_the_model(decoder):
    """Drawn first tokens have the frequencies that the network gives them."""
    n = 3000
    condition = decoder.condition(["rain"] * n)
    tokens = decoder.generate(condition, 1, AutoregressiveSampler(), generators(n))
    p = decoder.network.start_state(decoder.condition(["rain"]))[0].softmax(-1)[0]
    share = torch.bincount(tokens[:, 0], minlength=K) / n
    assert (share - p).abs().max() < 0.04


def test_a_clip_does_not_depend_on_its_neighbours(decoder):
    texts, sampler = ["rain", "a dog barks three times", "wind"], AutoregressiveSampler(top_k=4, guidance_scale=2.0)
    together = decoder.generate(decoder.condition(texts), COLUMNS, sampler, generators(3))
    alone = [decoder.generate(decoder.condition([text]), COLUMNS, sampler, [generators(3)[i]])
             for i, text in enumerate(texts)]
    assert torch.equal(together, torch.cat(alone))


def test_given_tokens_are_kept(decoder):
    keep = torch.full((1, ROWS * COLUMNS), -1)
    keep[0, 2:5] = torch.tensor([3, 1, 2])
    tokens = decoder.generate(decoder.condition(["rain"]), COLUMNS, AutoregressiveSampler(), generators(1), keep)
    assert tokens[0, 2:5].tolist() == [3, 1, 2]


def test_top_k_1_is_greedy(decoder):
    tokens = [decoder.generate(decoder.condition(["rain"]), 2, AutoregressiveSampler(top_k=1), [torch.Generator()])
              for _ in range(2)]
    logits = decoder(torch.cat([tokens[0], tokens[0]]), decoder.condition(["rain"] * 2))
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(logits[0].argmax(-1), tokens[0][0])


def test_padding_of_the_text_changes_nothing(decoder):
    tokens, condition = torch.randint(K, (1, ROWS * COLUMNS)), decoder.condition(["rain"])
    padded = Condition(torch.cat([condition.embeddings, torch.randn(1, 4, 16)], 1),
                       torch.cat([condition.mask, torch.zeros(1, 4, dtype=torch.bool)], 1))
    torch.testing.assert_close(decoder(tokens, condition), decoder(tokens, padded), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: AutoregressiveSampler(temperature=-1), "temperature is -1"),
    (lambda: AutoregressiveSampler(top_p=2), "top_p is 2"), (lambda: AutoregressiveSampler(top_k=0), "top_k is 0"),
])
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.golden
def test_the_original_variant_gives_the_published_numbers(golden):
    tensors, settings = golden("j_ar")
    c = settings["config"]
    network = GPT(c["vocab_size"], 1, c["block_size"] - c["cond_len"], c["n_layer"], c["n_embd"], c["n_head"],
                  condition_width=c["cond_dim"], positions="sequence")
    weights, _ = keys.sort(state_dict_of(tensors), ORIGINAL_GPT, ORIGINAL_GPT_DROPS)
    weights["text_projection.weight"] = weights["text_projection.weight"].squeeze(-1)  # a convolution of width 1
    network.load_state_dict(weights)
    vector = tensors["cond"].transpose(1, 2)
    condition = Condition(vector, torch.ones(vector.shape[:2], dtype=torch.bool))
    logits = network(tensors["tokens"][:, :-1], condition)
    torch.testing.assert_close(logits, tensors["logits"], atol=1e-5, rtol=0)
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tensors["tokens"])
    torch.testing.assert_close(loss, tensors["loss"], atol=1e-5, rtol=0)
    kept = truncate(logits[:, 5].softmax(-1), top_k=4) > 0
    assert torch.equal(kept, tensors["top4_logits"] > -1e29)
    logits, caches = network.start_state(condition)
    for position, expected in enumerate(tensors["greedy"].unbind(1)):
        assert torch.equal(logits.argmax(-1), expected)
        if position + 1 < tensors["greedy"].shape[1]:
            logits = network.next_logits(expected, position, caches, condition)
