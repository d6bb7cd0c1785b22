"""Try the course where nothing is installed: in a minimal Debian 12, made with debootstrap in a scratch folder.

    python3 tools/bare.py            what the README promises, then the steps of the Dockerfile
    python3 tools/bare.py --quick    the README's set-up, and one notebook

The last commit is cloned, into a path with a space and a letter beyond ASCII, and an ordinary user
runs the README's two commands, then both again without network. Needs root, and on the machine
itself debootstrap, git, and the `unshare` and `ip` of every Linux. The Debian inside knows nothing
of the machine but its way to the network.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = "/home/student/Mein Kurs für später/course"

# Runs inside, in the checkout: opens the course as a reader does, asks for the page, ends it.
OPEN_THE_LAB = r"""
import os, re, signal, subprocess, sys, time, urllib.error, urllib.request
lab = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
for line in map(bytes.decode, lab.stdout):
    print(line, end="", flush=True)
    found = re.search(r"http://127\.0\.0\.1:(\d+)/\S+token=\w+", line)
    if found:
        break
else:
    sys.exit("the lab gave no address")
for attempt in range(60):  # the address is printed a moment before somebody listens
    try:
        page = urllib.request.urlopen(found[0], timeout=60)
        break
    except urllib.error.URLError as error:
        print(error)
        time.sleep(1)
else:
    sys.exit("nobody answers there")
text = page.read()
assert page.status == 200 and b"JupyterLab" in text, page.url
assert b'disabledExtensions": ["@jupyterlab/apputils-extension:announcements"]' in text
os.killpg(lab.pid, signal.SIGTERM)
lab.wait(60)
print("JupyterLab opened the course on port", found[1])
"""


def inside(root, command, user="root", folder="/", network=True, **options):
    """Run a shell command in the Debian under `root`, in processes and mounts of its own."""
    mounts = [
        "mount -t proc proc {0}/proc",
        "mount --rbind /dev {0}/dev",
        "mount -t tmpfs tmpfs {0}/tmp",
    ]
    steps = [mount.format(shlex.quote(str(root))) for mount in mounts]
    if not network:
        steps.append("ip link set lo up")
    home = "/root" if user == "root" else f"/home/{user}"
    environment = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", f"HOME={home}"]
    environment += [f"{k}={v}" for k, v in os.environ.items() if k.lower().endswith("_proxy")]
    if (root / "etc/certificates-of-the-host.pem").exists():
        environment.append("PIP_CERT=/etc/certificates-of-the-host.pem")
    run = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *environment]
    run += ["sh", "-ec", f"cd {shlex.quote(folder)}; {command}"]
    steps.append(f"exec chroot {shlex.quote(str(root))} {shlex.join(run)}")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    namespaces += [] if network else ["--net"]
    return subprocess.run([*namespaces, "sh", "-ec", "; ".join(steps)], **{"check": True} | options)


def debian(root):
    """A minimal Debian 12 that can reach what this machine reaches."""
    command = ["debootstrap", "--variant=minbase", "bookworm", str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    if certificates := os.environ.get("PIP_CERT"):
        shutil.copy(certificates, root / "etc/certificates-of-the-host.pem")


def packages_for_debian():
    """What the README tells a user of Debian 12 to install, as one line."""
    readme = (ROOT / "README.md").read_text("utf-8")
    return re.search(r"^sudo apt install (.+?) *#.*Debian 12", readme, re.MULTILINE)[1]


def clone(target):
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks"]
    subprocess.run([*command, str(ROOT), str(target)], check=True)


def opened(command):
    """The command that runs `command`, which opens JupyterLab, until a page has come from it."""
    return f"python3 -c {shlex.quote(OPEN_THE_LAB)} {command}"


def as_the_readme_says(root, quick):
    """Install what the README names for Debian, and run its two commands as an ordinary user."""
    packages = packages_for_debian()
    install = "DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes"
    inside(root, f"apt-get update --quiet --quiet; {install} make >/dev/null")
    inside(root, "useradd --create-home student")
    clone(root / CHECKOUT[1:])
    inside(root, f"chown -R student: {shlex.quote(CHECKOUT)}")

    print("\n== make lab, where nothing is installed", flush=True)
    place = {"user": "student", "folder": CHECKOUT}
    refused = inside(root, "make lab", **place, check=False, stderr=subprocess.PIPE, text=True)
    print(refused.stderr)
    named = set(packages.split()) - {"git", "make"}
    assert refused.returncode and named <= set(re.findall(r"[\w-]+", refused.stderr)), named

    print(f"\n== apt install {packages}, then make lab", flush=True)
    inside(root, f"{install} {packages} >/dev/null")
    inside(root, opened("make lab"), **place)
    if quick:
        print("\n== one notebook, without network", flush=True)
        inside(root, "make test-notebooks NB=notebooks/00_start_here.ipynb", **place, network=False)
    else:
        print("\n== make test", flush=True)
        inside(root, "make test", **place)
        print("\n== make lab and make test, without network", flush=True)
        inside(root, opened("make lab"), **place, network=False)
        inside(root, "make test", **place, network=False)
    inside(root, 'git status --porcelain; test -z "$(git status --porcelain)"', **place)


def as_the_dockerfile_says(root):
    """Run the steps of the Dockerfile one by one, then its command."""
    text = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text("utf-8"))
    user, folder = "root", "/"
    for line in re.findall(r"^[A-Z]+ .*", text, re.M):
        print(f"\n{line}", flush=True)
        step, rest = line.split(maxsplit=1)
        if step == "RUN":
            inside(root, rest, user, folder)
        elif step == "USER":
            user = rest
        elif step == "WORKDIR":
            folder = rest
        elif step == "COPY":
            assert rest == f"--chown={user}:{user} . .", rest
            clone(root / folder[1:])
            inside(root, f"chown -R {user}: {folder}")
        elif step == "CMD":
            inside(root, opened(shlex.join(json.loads(rest))), user, folder)
        else:
            assert step in ("FROM", "EXPOSE"), f"this script does not know the step {step}"


def main():
    for program in ("debootstrap", "git", "unshare", "ip", "setpriv"):
        if not shutil.which(program):
            sys.exit(
                f"{program} is missing: install it (Debian, Ubuntu: apt install debootstrap iproute2)."
            )
    if os.geteuid():
        sys.exit("A Debian in a folder can only be made by root: sudo make bare.")
    scratch = Path(tempfile.mkdtemp(prefix="bare-", dir="/var/tmp"))
    try:
        quick = "--quick" in sys.argv[1:]
        debian(scratch / "debian")
        if not quick:
            subprocess.run(["cp", "-a", scratch / "debian", scratch / "container"], check=True)
        as_the_readme_says(scratch / "debian", quick)
        if not quick:
            as_the_dockerfile_says(scratch / "container")
    except subprocess.CalledProcessError as error:
        sys.exit(f"\nFailed, see above: {error.cmd[-1]}")
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(scratch)])
    print("\nThe course starts on a bare Debian 12.")


if __name__ == "__main__":
    main()
