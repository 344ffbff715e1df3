"""What a pixel sees, by gradient, against the known sets; and the layers that decide it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.nets.diagonal_scan import DiagonalScan
from engine.nets.gated_pixels import gate
from engine.nets.pixel_lstm import DiagonalBiLSTM
from engine.nets.pixel_model import PixelModel
from engine.nets.stepwise import last_of, naive_steps
from tests.engine.painters import build, labels_for, noise_for, pictures, same_steps

#: What a 7 × 7 kernel under mask A sees.
STEP_A = [(-up, right) for up in (1, 2, 3) for right in range(-3, 4)]
STEP_A += [(0, -left) for left in (1, 2, 3)]


def field(model: PixelModel, row: int, column: int) -> Tensor:
    """(H, W) bool: where the parameters of one pixel of one colour have a derivative."""
    x = pictures(model, 4).requires_grad_()
    params = model.params(model.inputs(x), labels_for(model, 4))
    (grad,) = torch.autograd.grad(params[:, :, row, column].sum(), x)
    return grad.abs().amax(0)[0] > 0


def earlier(side: int, row: int, column: int) -> Tensor:
    places = torch.arange(side * side).view(side, side)
    return places < row * side + column


@pytest.mark.parametrize(("n_layers", "reach"), [(1, 3), (3, 5), (5, 7)])
def test_gated_pixelcnn_sees_all_in_reach(n_layers: int, reach: int) -> None:
    model = build("gated_pixelcnn", (1, 15, 15), n_layers=n_layers)
    rows, columns = torch.meshgrid(torch.arange(15), torch.arange(15), indexing="ij")
    for row, column in ((9, 7), (14, 2), (0, 4), (7, 12)):
        near = ((rows - row).abs() <= reach) & ((columns - column).abs() <= reach)
        assert torch.equal(field(model, row, column), near & earlier(15, row, column))


@pytest.mark.parametrize("n_layers", [1, 3, 6])
def test_pixelcnn_has_its_blind_spot(n_layers: int) -> None:
    model = build("pixelcnn", (1, 15, 15), n_layers=n_layers)
    for row, column in ((9, 7), (14, 2), (8, 4)):
        seen = field(model, row, column)
        assert torch.equal(seen, plain_field(15, row, column, n_layers))
        blind = earlier(15, row, column) & ~seen
        # One row up only the first kernel reaches to the right, whatever the depth.
        assert bool(blind[row - 1, column + 4 :].all())
        assert not bool(blind[row - 1, max(column - 3, 0) : column + 4].any())


def plain_field(side: int, row: int, column: int, n_layers: int) -> Tensor:
    """The pixels that a walk of one A-step and n B-steps reaches, by walking."""
    step_b = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0)]
    places = {(row, column)}
    for _ in range(n_layers):
        places = inside(side, places, step_b)
    return marked(side, inside(side, places, STEP_A))


@pytest.mark.parametrize("n_layers", [1, 3])
def test_row_lstm_sees_a_triangle(n_layers: int) -> None:
    model = build("row_lstm", (1, 17, 17), n_layers=n_layers, first_kernel=3)
    for row, column in ((14, 8), (9, 15), (5, 3)):
        seen = field(model, row, column)
        assert torch.equal(seen, triangle_field(17, row, column, n_layers))
        assert bool(seen[0].any())
        blind = earlier(17, row, column) & ~seen
        assert bool(blind[row - 1, column + 3 :].all())
        assert bool(blind.any())


def triangle_field(side: int, row: int, column: int, n_layers: int) -> Tensor:
    """Per layer: past it, or up by any number of rows, then one step to the left or none."""
    up = [(-1, -1), (-1, 0), (-1, 1)]
    places = {(row, column)}
    for _ in range(n_layers):
        states = set(places)
        for _ in range(side):
            states |= inside(side, states, up)
        places |= inside(side, states, [(0, -1), (0, 0)])
    step_a = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    return marked(side, inside(side, places, step_a))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_diagonal_bilstm_sees_everything_before(n_layers: int) -> None:
    model = build("diagonal_bilstm", (1, 12, 9), n_layers=n_layers, first_kernel=3)
    places = torch.arange(12 * 9).view(12, 9)
    # (11, 4) and (1, 0): the last pixel of the row above is out of the first kernel's reach.
    for row, column in ((11, 4), (1, 0), (6, 0), (3, 8), (0, 5)):
        assert torch.equal(field(model, row, column), places < row * 9 + column)


@pytest.mark.parametrize("layer", ["row", "diagonal"])
@pytest.mark.parametrize("factor", [2, 4])
def test_multiscale_paints_the_small_picture_first(layer: str, factor: int) -> None:
    model = build("multiscale_pixelrnn", (1, 8, 8), factor=factor, layer=layer)
    small = torch.zeros(8, 8, dtype=torch.bool)
    small[::factor, ::factor] = True
    n_small = (8 // factor) ** 2
    assert bool(small.flatten()[model.order[:n_small]].all())
    assert not bool(small.flatten()[model.order[n_small:]].any())
    assert model.order[:n_small].tolist() == sorted(model.order[:n_small].tolist())
    assert model.order[n_small:].tolist() == sorted(model.order[n_small:].tolist())
    # Early pixels of the large picture see the whole small one, and of the rest what is before.
    seen = field(model, 0, 1)
    assert bool(seen[small].all())
    assert not bool((seen & ~small & ~earlier(8, 0, 1)).any())
    # A pixel of the small picture knows nothing of the pixels between.
    assert not bool((field(model, factor, factor) & ~small).any())


def test_another_small_picture_gives_another_large_one() -> None:
    model = build("multiscale_pixelrnn", (1, 8, 8), factor=4)
    small = torch.zeros(8, 8, dtype=torch.bool)
    small[::4, ::4] = True
    noise, known = noise_for(model, 64), torch.zeros(64, 1, 8, 8, dtype=torch.float64)
    last = known.clone()
    last[:, 0, 4, 4] = 1.0  # the small picture's last pixel, in the middle of the large one
    first = last_of(model.sample_steps(noise, known=known, mask=small))
    other = last_of(model.sample_steps(noise, known=last, mask=small))
    conditionals = [model.conditionals(x).probs[0] for x in (first, last)]
    assert torch.equal(first[:, :, small], known[:, :, small])
    assert bool((first[:, 0, :4] != other[:, 0, :4]).any())
    assert not torch.equal(conditionals[0][1], conditionals[1][1])


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 5, 6)])
def test_sides_need_not_be_multiples_of_the_factor(shape: tuple[int, ...]) -> None:
    model = build("multiscale_pixelrnn", shape, factor=4, layer="diagonal")
    noise = noise_for(model, 2)
    given, wanted = list(model.sample_steps(noise)), list(naive_steps(model, noise))
    assert same_steps(given, wanted) < 1e-12
    assert torch.equal(given[-1].x, wanted[-1].x)


def skewed(x: Tensor) -> Tensor:
    """(…, H, W) → (…, H, H + W − 1): row r moved r places to the right, as in the paper."""
    height, width = x.shape[-2:]
    found = x.new_zeros(*x.shape[:-1], height + width - 1)
    for row in range(height):
        found[..., row, row : row + width] = x[..., row, :]
    return found


def scanned_by_skewing(layer: DiagonalBiLSTM, gates: Tensor) -> Tensor:
    """Hidden states (B, C, H, W) of the first direction, column by column of skewed gates."""
    height, width = gates.shape[-2:]
    size = gates.shape[1] // 4
    beside, upper = layer.state_to_state[0].split(size)
    h = c = gates.new_zeros(len(gates), height, size)
    columns = []
    for now in skewed(gates).permute(3, 0, 2, 1):  # (B, H, 4C) each
        moved = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
        o, f, i, g = (now + h @ beside + moved @ upper).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        # Outside the picture there are no states: the paper's padding.
        place = len(columns) - torch.arange(height)
        inside_ = ((place >= 0) & (place < width))[None, :, None]
        h, c = h * inside_, c * inside_
        columns.append(h)
    whole = torch.stack(columns, -1)  # (B, H, C, T)
    rows = [whole[:, row, :, row : row + width] for row in range(height)]
    return torch.stack(rows, 2)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (5, 2), (1, 4), (4, 1)])
def test_diagonals_in_memory_are_the_skewed_columns(height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = DiagonalBiLSTM(torch.zeros(6).long(), torch.zeros(3).long()).double()
    x = torch.randn(2, 6, height, width, dtype=torch.float64)
    gates = layer.input_to_state(x)[:, :12]
    found = layer.states(x, x).h
    assert torch.allclose(found[0], scanned_by_skewing(layer, gates), atol=1e-12)
    mirror = DiagonalBiLSTM(torch.zeros(6).long(), torch.zeros(3).long()).double()
    mirror.state_to_state.data.copy_(layer.state_to_state.data.flip(0))
    back = layer.input_to_state(x)[:, 12:].flip(-1)
    assert torch.allclose(found[1].flip(-1), scanned_by_skewing(mirror, back), atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (3, 2)])
def test_the_scans_own_derivative(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, height * width, 2, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(2, 4, 8, generator=generator, dtype=torch.float64)
    leaves = (z.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: DiagonalScan.apply(a, b, height, width), leaves)


def test_states_do_not_go_round_the_corner() -> None:
    """The diagonal state of the first column knows nothing of the row above's last one."""
    layer = DiagonalBiLSTM(torch.zeros(8).long(), torch.zeros(4).long()).double()
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64, requires_grad=True)
    memory = layer.states(x, x)
    (grad,) = torch.autograd.grad(memory.h[0, 0, :, 2, 1].sum(), x)
    seen = grad[0].abs().amax(0) > 0
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    assert torch.equal(seen, (rows <= 2) & (columns <= 1))
    (grad,) = torch.autograd.grad(layer.states(x, x).h[1, 0, :, 2, 3].sum(), x)
    assert torch.equal(grad[0].abs().amax(0) > 0, (rows <= 2) & (columns >= 3))


def marked(side: int, places: set[tuple[int, int]]) -> Tensor:
    seen = torch.zeros(side, side, dtype=torch.bool)
    for place in places:
        seen[place] = True
    return seen


def inside(
    side: int, places: set[tuple[int, int]], steps: list[tuple[int, int]]
) -> set[tuple[int, int]]:
    found = {(r + a, k + b) for r, k in places for a, b in steps}
    return {(r, k) for r, k in found if 0 <= r < side and 0 <= k < side}


def test_the_gates_own_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    value, door = x.chunk(2, 1)
    assert torch.allclose(gate(x), torch.tanh(value) * torch.sigmoid(door), atol=1e-15)
    assert torch.autograd.gradcheck(gate, (x,))
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(gate, (last,))
    assert torch.equal(gate(last), gate(x))
