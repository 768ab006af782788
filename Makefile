# Everything that these do is in scripts/, and reads well there.
.PHONY: help build demo test test-unit bench lint clean

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

build:  ## install what is missing, and leave `import kina` working in .venv
	@scripts/setup

demo: build  ## containers, then a cluster, from nothing (the first time takes minutes)
	@scripts/demo

test:  ## everything: linters, Swift's tests, Python's tests
	@scripts/test

test-unit:  ## the tests that need neither root nor containers
	@scripts/test unit

bench:  ## speed, beside runc, Docker, Podman and kind in the same run
	@scripts/bench

lint:  ## ruff, mypy and swift format
	@scripts/lint

clean:  ## remove what was built (containers and images stay)
	@scripts/clean
