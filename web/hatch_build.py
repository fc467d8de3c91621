"""Puts the built console into the wheel, from where pip installs it into `share/callout/console` of the environment.

`CALLOUT_CONSOLE=off` in the environment makes a wheel without it. The build needs Deno and the npm registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSTALLED = "share/callout/console"


class ConsoleBuildHook(BuildHookInterface[BuilderConfig]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the console, except for an editable installation. Raises `RuntimeError` if there is no Deno, and
        `subprocess.CalledProcessError` if the build fails."""
        if version == "editable" or os.environ.get("CALLOUT_CONSOLE") == "off":
            return
        deno = shutil.which("deno")
        if deno is None:
            raise RuntimeError(
                "The console is built by Deno, which is not installed; CALLOUT_CONSOLE=off goes without."
            )
        target = Path(self.directory).absolute() / "console"
        web = Path(self.root) / "web"
        subprocess.run([deno, "install", "--quiet", "--frozen"], cwd=web, check=True)
        subprocess.run([deno, "run", "--allow-all", "build.ts", str(target)], cwd=web, check=True)
        build_data["shared_data"][str(target)] = INSTALLED

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(Path(self.directory).absolute() / "console", ignore_errors=True)
