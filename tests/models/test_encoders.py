"""A raw condition becomes a vector: of it all, of nothing else, and whatever padding follows."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from quagga.models.blocks.encoders import (
    AttributesEncoder,
    ClassEncoder,
    GRUEncoder,
    TransformerEncoder,
    embedding,
    encoder_of,
    positions,
)

CAPTIONS = torch.tensor([[5, 2, 3, 0], [4, 0, 0, 0], [1, 2, 3, 4]])


def conditions(kind: str) -> Tensor:
    return {"class": torch.tensor([0, 2, 1]), "attributes": torch.rand(3, 6), "caption": CAPTIONS}[kind]


@pytest.mark.parametrize("kind", ["class", "attributes", "caption"])
@pytest.mark.parametrize("text", ["gru", "transformer"])
def test_an_encoder_is_as_wide_as_it_says_and_learns(kind, text):
    encoder = encoder_of(kind, 6, 16, text)
    e = encoder(conditions(kind))
    assert e.shape == (3, 16) and encoder.width == 16
    e.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or "bias" in name, name  # of attention's keys the bias has no effect


@pytest.mark.parametrize("kind", ["class", "attributes", "caption"])
@pytest.mark.parametrize("text", ["gru", "transformer"])
def test_rows_do_not_mix(kind, text):
    encoder, c = encoder_of(kind, 6, 16, text).double(), conditions(kind)
    apart = torch.cat([encoder(row[None]) for row in c])
    torch.testing.assert_close(encoder(c), apart)


def test_a_table_and_one_hot_vectors_are_the_same_function():
    hot, table = ClassEncoder(4, 8, hot=True), ClassEncoder(4, 8)
    assert isinstance(hot.layer, nn.Linear)
    with torch.no_grad():
        table.layer.weight.copy_(hot.layer.weight.T + hot.layer.bias)
    c = torch.tensor([3, 0, 1, 2])
    torch.testing.assert_close(hot(c), table(c))


def test_attributes_are_weighed_one_by_one():
    encoder = AttributesEncoder(3, 5).double()
    none = encoder(torch.zeros(1, 3))
    single = [encoder(torch.eye(3)[i : i + 1]) - none for i in range(3)]
    together = encoder(torch.tensor([[1.0, 0.5, 1.0]])) - none
    torch.testing.assert_close(together, single[0] + 0.5 * single[1] + single[2])


@pytest.mark.parametrize("kind", [GRUEncoder, TransformerEncoder])
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(kind, training: bool):
    encoder = kind(6, 16).double().train(training)
    with torch.no_grad():
        encoder.words.weight[0] = 7.0  # even if padding had a meaning of its own
    for more in (1, 5):
        torch.testing.assert_close(encoder(pad(CAPTIONS, (0, more))), encoder(CAPTIONS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [GRUEncoder, TransformerEncoder])
def test_every_word_counts_and_so_does_their_order(kind):
    encoder = kind(6, 16).double()
    said = encoder(torch.tensor([[2, 3, 4, 0]]))
    for other in ([5, 3, 4, 0], [2, 5, 4, 0], [2, 3, 5, 0], [2, 3, 0, 0], [2, 3, 4, 5], [3, 2, 4, 0], [2, 4, 3, 0]):
        assert (encoder(torch.tensor([other])) - said).abs().max() > 1e-4, other


@pytest.mark.parametrize("kind", [GRUEncoder, TransformerEncoder])
def test_a_caption_without_words_is_still_a_vector(kind):
    encoder = kind(6, 16).double()
    short, long = (encoder(torch.zeros(2, length, dtype=torch.int64)) for length in (1, 4))
    assert short.isfinite().all() and torch.equal(short[0], short[1])
    torch.testing.assert_close(short, long)


def test_positions_differ_and_are_bounded():
    p = positions(64, torch.zeros(1, 64, 16, dtype=torch.float64))
    assert p.shape == (64, 16) and p.dtype == torch.float64 and p.abs().max() <= 1
    assert torch.pdist(p).min() > 0.1


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="expected a multiple of 8"):
        TransformerEncoder(6, 20)
    with pytest.raises(ValueError, match="unknown: expected class, attributes or caption"):
        encoder_of("colour", 3, 8)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("padding_idx", [None, 0])
def test_an_embedding_is_torchs(padding_idx):
    torch.manual_seed(0)
    torchs, drawn_after = nn.Embedding(5, 3, padding_idx), torch.rand(1)
    torch.manual_seed(0)
    own = embedding(5, 3, padding_idx)
    assert torch.equal(own.weight, torchs.weight) and torch.equal(torch.rand(1), drawn_after)
    assert repr(own) == repr(torchs) and own.weight.requires_grad
    tokens = torch.tensor([0, 1, 1])
    for layer in (own, torchs):
        layer(tokens).sum().backward()
    assert own.weight.grad is not None and torchs.weight.grad is not None
    assert torch.equal(own.weight.grad, torchs.weight.grad)


def test_to_build_one_for_loading_does_not_import_torchs_compiler():
    program = """if True:
        import sys, torch
        from quagga.models.blocks.encoders import ClassEncoder, GRUEncoder, TransformerEncoder
        before = set(sys.modules)
        with torch.device("meta"):
            ClassEncoder(3, 8), GRUEncoder(3, 8), TransformerEncoder(3, 8)
        assert not {"torch._dynamo", "torch._inductor"} & (set(sys.modules) - before)
    """
    subprocess.run([sys.executable, "-c", program], check=True)
