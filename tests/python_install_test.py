"""`pip install .` in a fresh environment without a network, as a user would. Slow: it builds."""

import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("PITH_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
PROGRAM = """
import numpy as np, pith, pathlib, sys
assert pathlib.Path(pith.__file__).is_relative_to(sys.prefix), pith.__file__
pith.save('x.pith', {'x': np.arange(6).reshape(2, 3)})
assert pith.open('x.pith')['x'][1].tolist() == [3, 4, 5]
assert (pathlib.Path(pith.__file__).parent / 'py.typed').exists()
print('pith', pith.__version__)
"""


def main():
    # Nothing of the build tree's module, and no index to download from.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    clean["PIP_NO_INDEX"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", f"{folder}/venv"],
                       check=True, env=clean)  # fmt: skip
        python = f"{folder}/venv/bin/python"
        for options in ([], ["--no-build-isolation", "--force-reinstall", "--no-deps"]):
            subprocess.run([python, "-m", "pip", "install", *options, SOURCE], check=True, env=clean)
            subprocess.run([python, "-c", PROGRAM], check=True, env=clean, cwd=folder)
            os.remove(f"{folder}/x.pith")


if __name__ == "__main__":
    main()
