import pytest
import torch
import torch.multiprocessing as mp
from published import state_dict_of
from torch import distributed

from diffsound.checkpoint import rebuild
from diffsound.vqvae import Codebook, EMACodebook, FiniteScalar
from diffsound.vqvae.quantizer import k_means, nearest, perplexity


def grid(*vectors: torch.Tensor) -> torch.Tensor:
    """(N, D) vectors as a grid (1, D, 1, N)."""
    return torch.stack(vectors).T[None, :, None]


def filled_ema(codes: torch.Tensor, **options) -> EMACodebook:
    quantizer = EMACodebook(*codes.shape, **options)
    quantizer.total.copy_(codes)
    quantizer.count.fill_(1)
    return quantizer


@pytest.fixture(params=["codebook", "ema", "finite"])
def quantizer(request):
    if request.param == "finite":
        return FiniteScalar([3, 4, 5])
    codes = torch.randn(60, 3)
    if request.param == "ema":
        return filled_ema(codes)
    quantizer = Codebook(60, 3)
    quantizer.embedding.weight.data.copy_(codes)
    return quantizer


def test_every_quantizer_shows_the_same_face(quantizer):
    z = torch.randn(2, quantizer.embed_dim, 5, 7)
    for training in (True, False):
        quantizer.train(training)
        z_q, indices, loss = quantizer(z)
        assert (z_q.shape, z_q.dtype) == (z.shape, torch.float32)
        assert (indices.shape, indices.dtype) == ((2, 5, 7), torch.int64)
        assert 0 <= indices.min() <= indices.max() < quantizer.codebook_size == 60
        assert loss.shape == ()
    torch.testing.assert_close(quantizer.embed(indices), z_q)
    assert torch.equal(quantizer.lookup(z), indices)
    assert rebuild(quantizer.spec).codebook_size == 60


def test_the_gradient_passes_straight_through():
    z = torch.randn(2, 3, 5, 7, requires_grad=True)
    weight = torch.randn_like(z)
    (Codebook(60, 3)(z).z_q * weight).sum().backward()
    assert torch.equal(z.grad, weight)


@pytest.mark.parametrize("quantizer", ["codebook", "ema"], indirect=True)
def test_a_code_vector_quantizes_to_itself(quantizer):
    every_code = torch.arange(60)[None, None]
    assert torch.equal(quantizer.lookup(quantizer.embed(every_code)), every_code)


def test_a_code_vector_far_from_zero_quantizes_to_itself_and_not_to_a_neighbour():
    codes = 1000 + 0.01 * torch.randn(50, 8)
    assert torch.equal(nearest(codes, codes), torch.arange(50))


def test_the_first_of_equal_codes_is_taken():
    codes = torch.tensor([[5.0, 5.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), codes).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_codes(quantizer, dtype):
    z = torch.randn(4, 3, 5, 21).to(dtype)
    quantizer.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z_q, indices, _ = quantizer(z)
    assert torch.equal(indices, quantizer(z.float()).indices)
    assert z_q.dtype == torch.float32


@pytest.mark.parametrize(("legacy", "encoder_weight", "codebook_weight"), [(False, 0.25, 1.0), (True, 1.0, 0.25)])
def test_the_commitment_weight_is_on_the_encoder_term(legacy, encoder_weight, codebook_weight):
    quantizer = Codebook(2, 1, commitment=0.25, legacy_commitment=legacy)
    quantizer.embedding.weight.data.copy_(torch.tensor([[0.0], [10.0]]))
    z = torch.tensor([1.0, 8.0]).reshape(1, 1, 1, 2).requires_grad_()
    loss = quantizer(z).loss
    loss.backward()
    assert loss.item() == pytest.approx(1.25 * (1 + 4) / 2)
    torch.testing.assert_close(z.grad.flatten(), encoder_weight * torch.tensor([1.0, -2.0]))
    torch.testing.assert_close(quantizer.embedding.weight.grad.flatten(), codebook_weight * torch.tensor([-1.0, 2.0]))


def test_the_ema_codebook_trains_only_the_encoder_by_gradient():
    quantizer = filled_ema(torch.tensor([[0.0], [10.0]]), commitment=0.25)
    z = torch.tensor([1.0, 8.0]).reshape(1, 1, 1, 2).requires_grad_()
    quantizer(z).loss.backward()
    torch.testing.assert_close(z.grad.flatten(), 0.25 * torch.tensor([1.0, -2.0]))
    assert not list(quantizer.parameters())


def test_the_ema_codebook_is_the_running_mean_of_its_vectors():
    quantizer = filled_ema(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), decay=0.8)
    quantizer(grid(torch.tensor([1.0, 1.0]), torch.tensor([2.0, -1.0]), torch.tensor([9.0, 0.0])))
    torch.testing.assert_close(quantizer.count, torch.tensor([0.8 + 0.2 * 2, 0.8 + 0.2]))
    torch.testing.assert_close(quantizer.codes, torch.tensor([[0.2 * 3 / 1.2, 0.0], [8 + 0.2 * 9, 0.0]]))


def test_the_ema_codebook_does_not_move_outside_training():
    quantizer = filled_ema(torch.randn(4, 2)).eval()
    before = quantizer.codes.clone()
    quantizer(torch.randn(1, 2, 3, 3))
    assert torch.equal(quantizer.codes, before)


def test_the_first_batch_starts_the_ema_codebook_on_its_clusters():
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    vectors = centres.repeat(40, 1) + 0.01 * torch.randn(120, 2)
    quantizer = EMACodebook(12, 2)
    z_q = quantizer(vectors.T[None, :, None]).z_q
    assert (z_q[0, :, 0].T - vectors).abs().max() < 0.1


def test_k_means_takes_more_centres_than_vectors():
    vectors = torch.tensor([[1.0], [2.0]])
    assert k_means(vectors, 5).flatten().unique().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("kind", [Codebook, EMACodebook])
def test_dead_codes_come_back(kind):
    torch.manual_seed(1)
    codes = torch.full((8, 2), 100.0)
    codes[0] = 0.0
    quantizer = filled_ema(codes, restart_after=3) if kind is EMACodebook else Codebook(8, 2, restart_after=3)
    if kind is Codebook:
        quantizer.embedding.weight.data.copy_(codes)
    z = torch.randn(1, 2, 5, 20)
    used = [len(quantizer(z).indices.unique()) for _ in range(4)]
    assert used[:3] == [1, 1, 1]  # a code is given its time
    assert used[3] > 5


def test_restarts_are_off_by_default_in_the_published_codebook():
    quantizer = Codebook(8, 2)
    before = quantizer.embedding.weight.clone()
    for _ in range(300):
        quantizer(torch.randn(1, 2, 1, 4))
    assert torch.equal(quantizer.embedding.weight, before)
    assert list(quantizer.state_dict()) == ["embedding.weight"]


@pytest.mark.parametrize("levels", [[4, 4, 4, 4], [2, 3, 5]])
def test_every_finite_scalar_code_is_reachable_and_comes_back(levels):
    quantizer = FiniteScalar(levels).eval()
    every_code = torch.arange(quantizer.codebook_size)[None, None]
    vectors = quantizer.embed(every_code)
    assert len(vectors.flatten(2)[0].T.unique(dim=0)) == quantizer.codebook_size
    assert vectors.abs().max() == 1
    z = torch.atanh(vectors.clamp(-0.99, 0.99))
    z_q, indices, loss = quantizer(z)
    assert torch.equal(indices, every_code)
    torch.testing.assert_close(z_q, vectors)
    assert loss == 0


def test_streams_are_codes_of_their_own_beside_each_other():
    two, one = FiniteScalar([4, 3], streams=2).eval(), FiniteScalar([4, 3]).eval()
    z = torch.randn(2, 4, 3, 5)
    indices = two.lookup(z)
    assert indices.shape == (2, 6, 5)
    assert torch.equal(indices[:, 0::2], one.lookup(z[:, :2]))
    assert torch.equal(indices[:, 1::2], one.lookup(z[:, 2:]))
    torch.testing.assert_close(two.embed(indices), two(z).z_q)
    assert torch.equal(two.lookup(torch.atanh(two.embed(indices).clamp(-0.99, 0.99))), indices)


def test_finite_scalar_noise_moves_only_what_is_near_a_border():
    quantizer = FiniteScalar([4], noise=0.2).train()
    position = torch.linspace(0.01, 2.99, 500)  # in levels
    z = torch.atanh(position * 2 / 3 - 1).reshape(1, 1, 1, -1)
    changed = torch.stack([quantizer(z).indices != quantizer.lookup(z) for _ in range(50)]).any(0).flatten()
    from_border = (position % 1 - 0.5).abs()
    assert changed[from_border < 0.1].all()
    assert not changed[from_border > 0.2].any()


def test_finite_scalar_refuses_levels_that_say_nothing():
    with pytest.raises(ValueError, match="levels"):
        FiniteScalar([4, 1])
    with pytest.raises(ValueError, match="streams of FiniteScalar is 0"):
        FiniteScalar([4], streams=0)


def test_perplexity_counts_codes_in_equal_use():
    assert perplexity(torch.tensor([5, 5, 5, 0])).item() == pytest.approx(3, rel=1e-4)


@pytest.mark.golden
def test_the_codebook_agrees_with_the_original(golden):
    tensors, settings = golden("e_vqvae")
    quantizer = Codebook(settings["n_embed"], settings["embed_dim"], settings["beta"], legacy_commitment=True)
    quantizer.load_state_dict(state_dict_of(tensors, "state_dict.quantize."))
    z_q, indices, loss = quantizer(tensors["pre_quant"])
    assert torch.equal(indices.flatten(1), tensors["indices_row_major"])
    assert torch.equal(indices.transpose(1, 2).flatten(1), tensors["tokens_column_major"])
    torch.testing.assert_close(z_q, tensors["quantized"], atol=1e-4, rtol=0)
    torch.testing.assert_close(loss, tensors["quant_loss"], atol=1e-4, rtol=0)
    torch.testing.assert_close(perplexity(torch.bincount(indices.flatten())), tensors["perplexity"], atol=1e-3, rtol=0)


def train_one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(rank)
    quantizer = filled_ema(torch.load(f"{folder}/codes.pt", weights_only=True), restart_after=2)
    for z in torch.load(f"{folder}/batches.pt", weights_only=True):
        quantizer(z[rank][None])
    torch.save(quantizer.state_dict(), f"{folder}/rank{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_keep_the_codebook_of_the_whole_batch(tmp_path):
    codes = torch.cat([torch.randn(7, 2), torch.full((1, 2), 100.0)])  # the last is dead
    batches = torch.randn(3, 2, 2, 5, 6)
    torch.save(codes, tmp_path / "codes.pt")
    torch.save(batches, tmp_path / "batches.pt")
    mp.start_processes(train_one_rank, (str(tmp_path),), nprocs=2, start_method="fork")  # spawning imports all again
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name in first:
        assert torch.equal(first[name], second[name])
    alone = filled_ema(codes, restart_after=2)
    for z in batches:
        alone(z)
    torch.testing.assert_close(first["count"].sum(), alone.count.sum())
    assert first["idle"][-1] < 2  # restarted
