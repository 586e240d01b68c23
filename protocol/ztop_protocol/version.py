"""The one place where ztop's version is written; packaging and both programs read it here."""

VERSION = "0.1.0"
