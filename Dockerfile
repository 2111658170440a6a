# The image for pods that run sweeps: the environment of requirements.lock, and this checkout.
#   docker build -t normscope .
FROM python:3.13-slim-trixie

# KubeRay's probes call wget; normscope reads its commit with git.
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends git make wget \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /normscope

# The environment alone first: a change of the code does not install it again.
COPY Makefile requirements.lock ./
RUN make .venv/ready PYTHON=python3 && rm -rf /root/.cache

# Some versions of KubeRay start Ray from a login shell, which sets PATH anew.
ENV PATH=/normscope/.venv/bin:$PATH
RUN echo 'export PATH=/normscope/.venv/bin:$PATH' > /etc/profile.d/normscope.sh

COPY . .
RUN git config --system --add safe.directory /normscope
