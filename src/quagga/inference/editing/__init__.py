"""Pictures edited by hand: what is drawn on a picture becomes an objective on z, and the edit is carried back.

Zhu, Kraehenbuehl, Shechtman, Efros: Generative Visual Manipulation on the Natural Image Manifold, ECCV 2016
https://arxiv.org/abs/1609.03552

    z* = argmin_z  sum_g |f_g(G(z)) - v_g|^2 + lambda_s |z - z_0|^2 + lambda_k K(G(z), G(z_0))

f is the colour of a pixel under a stroke, and the direction of the edges under a line; v is what was drawn. K is ours:
the share of what is not drawn on that changes. So whatever is drawn, the result is a picture that G can make. `edit`
finds z*, `way` is what lies between, and `carry_back` does to a photo what G's pictures did on the way: they move, and
they change colour.

    >>> G = sampler.generator()
    >>> z = edit(G, z_0, Drawing(colour, opacity), progress=lambda step, z, x: show(x))
    >>> carry_back(photo, way(G, z_0, z))

The functions know no file and no command: a page with brushes calls them too. `quagga.inference.editing.objective` is
how z* is found, `quagga.inference.editing.transfer` is the way back to the photo.
"""

from quagga.inference.editing.objective import Drawing, edges, edges_apart, edit
from quagga.inference.editing.transfer import carry_back, way

__all__ = ["Drawing", "carry_back", "edges", "edges_apart", "edit", "way"]
