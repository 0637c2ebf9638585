"""The built-in mechanisms keep the contract that is shipped for those from outside."""

from __future__ import annotations

from fedrec.testing import MechanismContract


class TestIndependent(MechanismContract):
    mechanism = "independent"


class TestBanded(MechanismContract):
    mechanism = "banded"
