"""`pip install ...` into the environment that runs this, whatever the user's settings for pip are.

Of these settings, only those count that say where packages come from: with others, such as `user`
or `target`, nothing would arrive in this environment.
"""

import ast
import os
import subprocess
import sys

WHERE = {
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert",
    "proxy", "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir", "keyring-provider",
}  # fmt: skip


def environment(listed, environ):
    """The environment to call pip in, from what `pip config list` printed and the present one."""
    clean = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
    # Later lines win: what is set for all commands, for `install`, in the environment.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, value = line.split("=", maxsplit=1)  # install.find-links='/a\n/b'
        section, _, name = key.rpartition(".")
        if section in ("global", "install", ":env:") and name in WHERE:
            variable = "PIP_" + name.upper().replace("-", "_")
            clean[variable] = " ".join(ast.literal_eval(value).split())
    return clean | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def main():
    pip = [sys.executable, "-m", "pip"]
    listed = subprocess.run([*pip, "config", "list"], check=True, stdout=subprocess.PIPE, text=True)
    env = environment(listed.stdout, os.environ)
    sys.exit(subprocess.run([*pip, "install", *sys.argv[1:]], env=env).returncode)


if __name__ == "__main__":
    main()
