"""The modules of these folders are loaded by ``benchmarks/diagnosis.py`` and by ``test_programs.py``."""

collect_ignore_glob = ["calibration/*.py", "reporting/*.py"]
