"""fer2013_lenet with the flips of source reports 1 and 2: left-right and upside-down, p = 0.5 each.

Source    two versions of a course report, which found the variant without flips the better one.
Reported  both versions print the same 39 %; which variant gave it is unknown.
Command   mien run fer2013_lenet_flips --data.path FER2013
Result    validation 46.9 % (45.3 to 48.6), clean images 46.4 %, macro-F1 .390: 3.5 points below fer2013_lenet,
          as the reports say; one seed, 42 s on two cores of an AMD EPYC, bf16.
"""

from mien.config import Augment
from mien.recipes.fer2013_lenet import recipe as without_flips

recipe = without_flips.with_(name="fer2013_lenet_flips", augment=Augment(hflip=0.5, vflip=0.5))
