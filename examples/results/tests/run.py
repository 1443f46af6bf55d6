"""Runs the tests of this folder and writes what came of them as JUnit: `run.py FILE`.

Python's own unittest writes no JUnit; most frameworks do by an option.
"""

import sys
import time
import traceback
import unittest
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent.parent))


class Results(unittest.TextTestResult):
    def startTestRun(self):
        self.suite = ElementTree.Element("testsuite", name="unittest")

    def startTest(self, test):
        super().startTest(test)
        group, name = test.id().rsplit(".", 1)
        self.case = ElementTree.SubElement(self.suite, "testcase", classname=group, name=name)
        self.began = time.monotonic()

    def stopTest(self, test):
        self.case.set("time", f"{time.monotonic() - self.began:.3f}")
        super().stopTest(test)

    def tell(self, what, error):
        text = "".join(traceback.format_exception(*error))
        ElementTree.SubElement(self.case, what, message=str(error[1]).split("\n")[0]).text = text

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell("failure", error)

    def addError(self, test, error):
        super().addError(test, error)
        self.tell("error", error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        ElementTree.SubElement(self.case, "skipped", message=reason)


tests = unittest.defaultTestLoader.discover(str(Path(__file__).parent))
results = unittest.TextTestRunner(resultclass=Results, verbosity=2).run(tests)
ElementTree.ElementTree(results.suite).write(sys.argv[1], encoding="utf-8", xml_declaration=True)
sys.exit(not results.wasSuccessful())
