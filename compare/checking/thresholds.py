"""Every number that decides a verdict, with its origin."""

# A slope fits within its bar. Bars of the estimator held in all of 5,000 cases tried, so that a
# distance of eight bars, twice at unrelated steps, is no accident of one of them.
WRONG = 8.0
# "agree" promises four digits of every leaf: half of float32's, and what users call "the same".
DIGITS = 1e-4
# Roundings granted to an entry, of its own size and of its leaf's typical size: what sums of some
# hundred products lose, measured on 20 networks in float32 (the largest seen: 5.3).
ROUNDINGS = 8.0
# What the rounding of the inputs does to a reference is drawn at random: two draws see a quarter of
# the worst.
DRAWN = 4.0
# Errors that the caller accepts add up with random signs along a direction: hardly ever to more
# than three of their standard deviations.
AT_RANDOM = 3.0
# Accepted errors are of one order where they have as many digits, up to these bits.
ORDER = 4
# Gradients that differ by less are as near as right ones are; to know a leaf so well is enough.
SETTLED = 1e-6
# A gradient of which the rounding of the inputs changes an eighth is rounding itself.
DUST = 1 / 8
# What is so small a part of a whole is rounding: what two orders of summation, or two algorithms,
# give for one value (log_ndtr, the worst seen: 90 roundings), and a leaf's slope beside the whole
# gradient's ...
LAST_BITS = 2.0**-40
# ... which is known to be zero if a slope of this part of the whole would have been seen.
VISIBLE = 1e-10
# A leaf of large slope moves no less than by this part of its scale: it would move by few of its
# own roundings.
LEAST_SHARE = 2.0**-16
# A point aside, at which a gradient shows how it changes: so far away that a change has digits, and
# so near that f is still in its domain.
ASIDE = 1 / 16
# Steps so much shorter stay within a wave, and between the kinks of a network of rectified units.
SHORTER = 2.0**-10
# Confirming steps: no power of two, so that none of them coincides with the first ones.
OTHER_SCALE = 0.375
# An entry is small beside its leaf, and moves by its own size too.
SMALL = 1 / 16
# Entries that are this much smaller than the largest of their leaf are drowned by its bar, and by
# its rounding in float32.
DROWNED = 2.0**-20
# Values that all are numbers of a smaller dtype have its spacing as noise: eight of them, over
# the longest step.
GRAINS = 8.0
# From so many entries on a call of f costs more than all else. Steps an eighth as long then reach
# the second of the goals of `ENOUGH` in 6 evaluations, where the usual ones take 10; that they see
# eight times the rounding of f matters only where that is more than float64's.
MANY = 2**20
FINER = 1 / 8
# Numbers of so few bits are round ones, and show no dtype.
ROUND_BITS = 12
# Points around the given one, at which rounding errors of values scatter around zero: the mean of
# seven is more than eight standard deviations off once in 100,000 times.
NEARBY = 6
# What is no more than this part of another number is plainly less: how far quotients close by are
# from one of two slopes that they tell apart, or a difference between slopes that are the same.
PLAINLY = 1 / 4
# Points around a place where kinks may meet; four of them show whether there is more to see, 32
# where f has kinks, and 64 at one, where a few may all be on one side ...
NEIGHBOURS = 128
FIRST_NEIGHBOURS = (4, 32, 64)
# ... by steps so much shorter than they are away that few of the kinks are within one ...
WITHIN = 1 / 64
# ... so near that f is straight between its kinks: pairs of a farther and a nearer distance, in
# units of the scale, the second one for what noise hides in the first ...
CLOSE = ((2.0**-20, 2.0**-30), (2.0**-12, 2.0**-22))
# ... and a smooth slope does not change by so much of itself.
BEND = 2.0**-10

# What follows decides how much is measured and listed; a search that it ends is "cannot tell".

# An entry that is off by so many bars after 6 evaluations, or after 10, is wrong beyond doubt; the
# bar is also what the report shows, and should have digits. It is seen at two steps, and difference
# quotients close by have the last word.
CLEAR = (1e4, 1e2)
# A claim that fits in so many digits after 6 evaluations, or after 10, needs no more of them (nine
# digits after 6 are beyond what rounding leaves of a sum over a batch: they cost the other 4).
ENOUGH = (1e-8, 1e-7)
# Wrong entries of a leaf that are confirmed by measurement, and that are listed; as many are looked
# at one by one where there are kinks.
CONFIRMED = 3
LISTED = 12
# Pairs of neighbours among them that are looked at together.
PAIRS = 4
# Calls of f after which a search ends with what is known: of 2,000 random programs, only gradients
# at dozens of kinks took more.
MOST_EVALUATIONS = 1500
# Calls after which compiling f pays back: JAX takes as long to compile a small f as for these.
CALLS_BEFORE_COMPILING = 30
