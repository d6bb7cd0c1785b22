# The course in a container: Debian 12, an ordinary user, JupyterLab on port 8888.
# `make bare` runs these steps in a Debian without Docker, so each keeps to what any shell can do.

FROM debian:12-slim AS machine
# MXNet's wheels need a few system libraries, on ARM others than on x86.
RUN apt-get update && apt-get install --yes --no-install-recommends \
      ca-certificates git make python3-venv libgomp1 \
      $(case "$(uname -m)" in x86_64) echo libquadmath0;; *) echo libopenblas0-pthread liblapacke;; esac) \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --shell /bin/bash learner
USER learner

FROM machine
# Made by the user, so that it is the user's: WORKDIR would give it to root.
RUN mkdir /home/learner/course
WORKDIR /home/learner/course
COPY --chown=learner:learner . .
RUN make .venv/.ready
EXPOSE 8888
CMD ["make", "lab", "LAB=--ip=0.0.0.0"]
