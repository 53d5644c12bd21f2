"""A trained model as a page and an API on this computer."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import ComputedOn, Open
from mien.cli.output import print_lines
from mien.progress import note


def serve(
    *,
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    detector: str = "yunet",
    margin: float = 0.0,
    workers: int = 1,
    device: ComputedOn = "cpu",
    allow_host: Annotated[list[str] | None, Parameter(negative="")] = None,
    allow_origin: Annotated[list[str] | None, Parameter(negative="")] = None,
    open_: Open = False,
) -> None:
    """Open a page on this computer that reads expressions from photos and the camera, with an API behind it.

    A model whose classes are no expressions reads whole pictures.

    Parameters
    ----------
    model
        An exported .onnx file, a run folder that holds one, a model that comes with mien ('mien models' lists
        them; the first one is taken if none is given), or hf-hub:OWNER/NAME.
    host
        127.0.0.1 is for this computer alone; 0.0.0.0 lets others in the network in.
    port
        0 is any free one.
    detector
        What finds the faces: 'yunet', which comes with mien, 'haar' (OpenCV's cascade), or a file of YuNet's weights.
    margin
        How much around a found face is shown to the model, as a share of its side.
    workers
        Server processes that answer at this address, each with the model and limits of its own. One that ends is
        started again; /metrics counts them all.
    allow_host
        A name under which the server may be asked, besides localhost and --host; may be given several times. An address
        that others reach takes any name until one is given.
    allow_origin
        Where web pages come from that may use the API, as in http://localhost:5173; may be given several times.
    """
    from mien.runtime.network import default_model
    from mien.serve.app import open_app
    from mien.serve.server import address, is_local, listen, names, run
    from mien.serve.supervisor import check_workers, run_workers

    check_workers(workers)
    model = model or default_model()
    build = partial(
        open_app, model, detector, margin, names(host, allow_host or ()), tuple(allow_origin or ()), workers, device
    )
    application = build()  # with several workers too: what cannot be served is refused here
    listening = listen(host, port)
    url = address(listening)
    print_lines(url, flush=True)
    note(f"{model} answers there; the API is described at {url}openapi.json. Ctrl-C ends it.")
    if not is_local(host):
        note(
            f"Everybody who reaches this computer can use it ({host}). Browsers allow the camera on this computer only."
        )
    if open_:
        import webbrowser

        webbrowser.open(url)
    if workers == 1:
        run(application, listening)
    else:
        run_workers(build, listening, workers)
