"""`haldane certs` for a folder that may have them already, such as a volume of an earlier start."""

import subprocess
import sys
from pathlib import Path

folder, *options = sys.argv[1:]
if not (Path(folder) / "controller" / "tls.crt").exists():
    sys.exit(subprocess.call([sys.executable, "-m", "controller", "certs", folder, *options]))
