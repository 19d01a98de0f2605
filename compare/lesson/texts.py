"""Every word of the lesson and its figures; a translation is another module with these names.

In TEXTS, `{name}` is a formula of lesson_formulas.py, or a number that the section fills in. A
picture has its caption, and each of its drawings has "....alt" for those who cannot see it.
"""

LABELS = {
    # the frame of the page
    "contents": "Contents",
    "skip": "Skip to the text",
    "theme": "Light or dark",
    # plots of comparisons
    "accuracy": "correct",
    "epoch": "epoch",
    "forward passes": "forward passes per gradient",
    "loss": "loss",
    "parameters": "parameters",
    "predicted": "predicted",
    "relative difference": "relative difference",
    "seconds": "seconds",
    "seconds per gradient": "seconds per gradient",
    "slope": "slope",
    "step": "step",
    "test": "test",
    "training": "training",
    # plots of the lesson
    "best step": "best",
    "book's step": "10⁻⁴",
    "central": "central",
    "central float32": "central, float32",
    "central float64": "central, float64",
    "complex float64": "complex step",
    "distance": "distance from the minimum",
    "error bar": "error bar of derivative_along",
    "exact factor": "exact: ×19 each step",
    "forward": "forward",
    "forward float64": "forward, float64",
    "legal slopes": "legal slopes",
    "logit gap": "how sure of the wrong class (gap of the logits)",
    "moved by": "weight moved by",
    "notebook": "the notebooks' loop",
    "offset loss": "−log(y + 10⁻⁷)",
    "probability": "y, probability of the true class",
    "pull": "gradient",
    "relative error": "relative error",
    "remainder": "what the gradient fails to predict",
    "right": "right gradient",
    "rise": "rise of f, in units of h f′(x)",
    "stable loss": "from logits",
    "step size": "step size h",
    "tangent": "tangent",
    "wrong": "planted fault",
}

TEXTS = {
    "language": "en",
    "title": "Why backpropagation replaced numerical gradients",
    "lead": (
        "A network learns by following the slope of its loss downhill. There are two ways to find "
        "that slope: wiggle every parameter and watch the loss, or let the computer differentiate. "
        "This page walks from the first to the second, and back again: each section is one idea, "
        "one figure, and what to see in it."
    ),
    "lead.computed": (
        "Nothing here is drawn by hand. Every number and curve was computed when the page was "
        "made, on the machine that is named at its foot, by the backends {backends}."
    ),
    "missing": (
        "<b>{name} is not here</b>, so its curves are left out and the rest is drawn without it. "
        "{reason}"
    ),
    "code": "The code of this section",
    "code.run": "Run this section alone:",
    "quick": "This is a draft made with --quick: trainings are cut short.",
    "foot.machine": "Machine",
    "foot.versions": "Versions",
    "foot.data": "Digits",
    "foot.made": "Made",
    "foot.command": "Command",
    "made": "{time}, in {seconds}",
    "cores": "{processor}, {cores} cores, {system}",
    # 1
    "difference.title": "A derivative as a difference",
    "difference.text": (
        "The derivative says how fast a function rises at a point. Its definition is a recipe: "
        "take a small step, see how far the function moves, divide."
    ),
    "difference.practice": (
        "A computer cannot take the limit, so it stops at some small {h}. Stepping to one side "
        "gives the forward difference, stepping to both sides the central one:"
    ),
    "difference.symbolic": (
        "SymPy differentiates the formula itself, as you would on paper: from {function} it makes"
    ),
    "difference.no_sympy": (
        "SymPy is not installed, so the derivative on paper is left out: <code>pip install "
        "'gradparity[lesson]'</code>."
    ),
    "difference.tangents": (
        "First: the lines have the slopes that central differences found, {at_5} at x = 5 and "
        "{at_10} at x = 10, and they touch the curve without crossing it. Second: with a step that "
        "is far too big you see why two sides are better than one. The forward chord is too steep, "
        "the central one runs parallel to the tangent."
    ),
    "difference.tangents.alt": (
        "The parabola 0.01x² + 0.1x with its tangent lines at x = 5, slope {at_5}, and at x = 10, "
        "slope {at_10}."
    ),
    "difference.secants.alt": (
        "Chords of the parabola around x = 5 with h = 4: the forward chord is steeper than the "
        "tangent, the central chord is parallel to it."
    ),
    "difference.table": (
        "The same derivatives in numbers, with h = 10⁻⁴. The forward difference is off in the "
        "fifth decimal; the central one in the last few digits that a double holds."
    ),
    "difference.x": "x",
    "difference.exact": "on paper",
    "difference.forward": "forward",
    "difference.central": "central",
    # 2
    "step_size.title": "The step size",
    "step_size.text": (
        "Surely a smaller step is a better one? Two errors pull in opposite directions. Cutting "
        "the limit short costs {truncation}, less for small {h}. But a computer keeps about 16 "
        "digits (7 in float32), and two nearly equal numbers, subtracted, lose most of them: that "
        "round-off grows as {round_off}. For a central difference:"
    ),
    "step_size.best": "The sum is smallest where both are about equal. The best step is",
    "step_size.complex": (
        "The complex step needs no subtraction at all, so nothing is lost however small {h} is. It "
        "asks for a function that also understands complex numbers:"
    ),
    "step_size.errors": (
        "The error in the derivative of {step_function} at x = 1. First: coming from the left, "
        "every curve first falls (truncation) and then, except for the complex step, climbs again "
        "(round-off). The best step in float64 is {best}; the book's 10⁻⁴ is on the safe side of "
        "it. In float32 its round-off is {single_at_book}, and the best step is {single}. The grey "
        "band is the error bar that <code>derivative_along</code> reports after {evaluations} "
        "evaluations: {bar}; its true error is {true_error}. Second: the function under a "
        "microscope that is always four steps wide. Move the slider and watch it turn from a curve "
        "into a line into a staircase."
    ),
    "step_size.errors.alt": (
        "Relative error against step size, both logarithmic. The central difference in float64 is "
        "best near {best}, in float32 near {single}; the complex step stays exact for all small "
        "steps."
    ),
    "step_size.microscope.alt": (
        "The function seen from two steps below x to two steps above: curved for large steps, "
        "straight for middling ones, a staircase where the step nears the spacing of the numbers."
    ),
    "step_size.slider": "Step size h",
    "step_size.readout": (
        "<b>h = {step}</b> &nbsp; central difference is wrong by {double} in float64, by {single} "
        "in float32; truncation {truncated}, round-off in float64 {rounded}."
    ),
    # 3
    "gradient.title": "Partial derivatives and the gradient",
    "gradient.text": (
        "With two variables there is a slope in each direction. Hold one variable still, "
        "differentiate by the other: that is a partial derivative. Both together are the gradient, "
        "an arrow that points straight uphill. For {bowl}:"
    ),
    "gradient.surface": (
        "The bowl {bowl} as a net and as a surface. The arrow on the floor is the gradient at the "
        "point {point}, which is {gradient}, drawn at half its length. It points straight uphill, "
        "at a right angle to the circle of all points of the same height."
    ),
    "gradient.wireframe.alt": "The bowl x₀² + x₁² drawn as a net of lines.",
    "gradient.surface.alt": (
        "The bowl as a coloured surface with a point at {point}; an arrow on the floor below it "
        "points outwards."
    ),
    "gradient.field": (
        "Every arrow is −gradient, the way downhill: all of them point to the minimum, and they "
        "shrink as it comes near. The backends' arrows lie on top of one another; at the {points} "
        "points of this grid they differ by at most {difference}."
    ),
    "gradient.field.alt": (
        "A field of arrows over the plane, all pointing to the origin and shorter near it, drawn "
        "by each backend over the other without a visible difference."
    ),
    "gradient.table": "The gradient at single points, as each backend finds it.",
    "gradient.point": "point",
    # 4
    "descent.title": "Gradient descent",
    "descent.text": (
        "To go down, take a step against the gradient, and again. The learning rate {eta} says how "
        "long the steps are:"
    ),
    "descent.path": (
        "A hundred steps from (−3, 4) over the contours of the bowl. On this function every step "
        "multiplies the distance by 1 − 2η, so you can say in advance what happens: η = 0.1 walks "
        "in, η = 0.001 hardly moves, η = 0.9 leaps from side to side, and from η = 1 on it does "
        "not come closer at all. Move the slider."
    ),
    "descent.path.alt": (
        "The path of gradient descent from (−3, 4) over the circular contours of the bowl, for the "
        "learning rate that the slider shows."
    ),
    "descent.distances.alt": (
        "The distance from the minimum at each of a hundred steps, on a logarithmic scale: a "
        "straight line that falls, stays level or rises with the learning rate."
    ),
    "descent.slider": "Learning rate η",
    "descent.readout": (
        "<b>η = {rate}: {verdict}.</b> &nbsp; Each step multiplies the distance by {factor}; after "
        "{steps} steps it is {distance}."
    ),
    "descent.good": "good",
    "descent.small": "too small",
    "descent.large": "too large",
    "descent.runaway": (
        "With η = 10 the distance should grow by a factor of 19 in every step, to {exact_end} "
        "after a hundred. Exact gradients do just that. The notebooks' loop stalls near "
        "{stalled_end}: there a step of 10⁻⁴ is lost to rounding, f(x + h) equals f(x − h), and "
        "the gradient reads 0. It looks as if it had converged. Differences whose step grows with "
        "x, as gradparity takes them, run off as they should."
    ),
    "descent.runaway.alt": (
        "Distance from the minimum against the step, logarithmic. All backends follow the exact "
        "line to {exact_end}; the notebooks' loop leaves it near {stalled_end} and stays level."
    ),
    "descent.shared": (
        "One more trap from those notebooks: the second run, with η = 10⁻¹⁰, ends where the first "
        "one ended, because the loop wrote its steps into the array that both of them started "
        "from. With a start of its own it ends, as it must, next to (−3, 4)."
    ),
    "descent.run": "run",
    "descent.in_place": "one array for both",
    "descent.own": "each its own array",
    # 5
    "losses.title": "Loss functions",
    "losses.text": (
        "A net that sorts digits answers with ten probabilities. The loss boils them down to one "
        "number that says how wrong they are. The sum of squares looks at all ten, the cross "
        "entropy only at the one that should have been large:"
    ),
    "losses.table": ("The same answer, which puts 60 % on the digit 2, judged against two labels."),
    "losses.label": "the digit was",
    "losses.squares": "sum of squares",
    "losses.entropy": "cross entropy",
    "losses.offset": (
        "To keep the logarithm finite the book adds a little: {offset_entropy}. That has a price. "
        "When the net is confident <em>and wrong</em>, the true y falls below 10⁻⁷, the sum no "
        "longer notices it, and the gradient dies, just when it is needed most. Computing the loss "
        "from the logits keeps it alive:"
    ),
    "losses.curves": (
        "First: −log y is 0 for a sure and right answer, and grows without bound for a sure and "
        "wrong one. Second: the pull back to the true class, as the net grows more sure of the "
        "wrong one. With the offset it is down to {pull} at a gap of 20, instead of 1. All "
        "backends agree on that: they are right, the loss is poor. No gradient check can find a "
        "poor loss."
    ),
    "losses.logarithm.alt": (
        "−log y against y: 0 at y = 1, {likely} at y = 0.6, {unlikely} at y = 0.05, and without "
        "bound towards 0."
    ),
    "losses.pull.alt": (
        "Size of the gradient against the gap of the logits: with the offset it falls to zero "
        "between 14 and 22, from logits it stays at 1. The marks of all backends lie on the curves."
    ),
    # 6
    "simple_net.title": "A net of six weights",
    "simple_net.text": (
        "Two inputs, three classes, six weights W: small enough to look at every entry of the "
        "gradient. The input is x = (0.6, 0.9), its true class the last. The scores are x W = "
        "({scores}), and the loss is {loss}."
    ),
    "simple_net.matrices": (
        "The weights and the gradient of the loss. Vermilion is positive, purple negative. The "
        "gradient's last column is negative: larger weights there would lower the loss. Each row "
        "sums to 0, since raising all three scores alike changes nothing."
    ),
    "simple_net.weights.alt": "The weights W, two rows of three: {entries}.",
    "simple_net.gradient.alt": "The gradient dW, two rows of three: {entries}.",
    "simple_net.table": (
        "The six entries by each backend. They agree to {difference}; the differences' own error "
        "is all there is between them."
    ),
    "simple_net.entry": "entry",
    "simple_net.moved": (
        "What one entry means: move that weight alone, and the loss moves along this line, at "
        "first. dW of row 0, column 2 is {slope}: add {by} to the weight and the loss should go "
        "from {before} to {promised}; in fact it goes to {after}. The curve bends away, the line "
        "is right only nearby."
    ),
    "simple_net.moved.alt": (
        "The loss while the weight in row 0, column 2 is moved from −1.5 to 1.5, and its tangent "
        "with slope {slope}."
    ),
    # 7
    "two_layer_net.title": "Real digits",
    "two_layer_net.text": (
        "Now the real thing: images of handwritten digits, a hidden layer, ten probabilities."
    ),
    "two_layer_net.pocket": (
        "The full net has {full} parameters. A single gradient by differences asks for twice as "
        "many losses, so for the three-way race the digits are shrunk to 7×7 pixels and the net to "
        "{pocket} parameters. The weights and batches are the same for all."
    ),
    "two_layer_net.race": (
        "{count} curves, and you see one: every backend walks the same path. After {steps} steps "
        "the largest difference between their losses is {difference}. What differs is the price: "
        "{times}."
    ),
    "two_layer_net.race_alone": (
        "The loss of the small net over {steps} steps, by the one backend that is here: {times}."
    ),
    "two_layer_net.race.alt": (
        "Loss against step for the small net, from {first} down to {last}; the curves of {names} "
        "coincide."
    ),
    "two_layer_net.learning": (
        "The full net, 784–50–10, {steps} steps on batches of 100: correct answers after each "
        "epoch. {final}. The gap between training and test digits is what the net has learned by "
        "heart."
    ),
    "two_layer_net.losses.alt": "Loss of the full net against step for {names}.",
    "two_layer_net.accuracy.alt": (
        "Share of correct answers after each epoch on training and test digits for {names}."
    ),
    "two_layer_net.final": "{name} ends at {train} on training and {test} on test digits",
    "two_layer_net.digits": (
        "First: test digits and what the net reads; a frame marks a mistake, prediction ≠ truth. "
        "Second: what some hidden units look for. Each is a picture of its weights: vermilion ink "
        "speaks for it, purple against it."
    ),
    "two_layer_net.digits.alt": (
        "A grid of handwritten test digits with the net's predictions; {correct} of {count} are "
        "right."
    ),
    "two_layer_net.units.alt": "The weights into {count} hidden units, drawn as pictures.",
    "two_layer_net.no_autodiff": (
        "The full net is left out: without JAX or PyTorch a single step of it would take minutes. "
        "The pictures are the small net's."
    ),
    # 8
    "price.title": "The price",
    "price.text": (
        "Differences need the loss twice for each parameter: a net ten times as large costs ten "
        "times as many evaluations, each of them slower too. Backpropagation walks through the "
        "computation once forward and once back, however many parameters there are."
    ),
    "price.growth": (
        "First: the cost of one gradient in evaluations of the loss, counted for differences, and "
        "for backpropagation its time over that of one evaluation. The slopes are the whole story, "
        "{slopes}: differences cost as many more evaluations as the net has more parameters, "
        "backpropagation a few, whatever the size. Second: the same in seconds, where the larger "
        "nets' own cost comes on top. Open marks are predicted from the first evaluations of a "
        "gradient that would take too long."
    ),
    "price.passes.alt": (
        "Forward passes per gradient against the number of parameters, both logarithmic: {slopes}."
    ),
    "price.seconds.alt": (
        "Seconds per gradient against the number of parameters, both logarithmic, for {names}."
    ),
    "price.bill": (
        "The bill for the book's training: {steps} steps of the net with {parameters} parameters. "
        "{measured} Plain differences would have needed {evaluations} evaluations of the loss for "
        "each step."
    ),
    "price.bill.alt": "Seconds for {steps} steps of training: {bill}.",
    "price.measured": "Backpropagation was measured, the steps alone.",
    "price.scaled": "Backpropagation was measured over {measured_steps} steps and scaled up.",
    # 9
    "checking.title": "Then why keep numerical gradients?",
    "checking.text": (
        "Because they cannot be wrong in the same way. Whoever writes a derivative by hand, for a "
        "custom rule or a port, makes mistakes that still train, only worse. Differences know "
        "nothing but the loss itself, and so they are the witness to ask. Here backpropagation was "
        "written by hand for the small net, and in one place the mean over the batch was "
        "forgotten: the gradient of b2 lacks its 1/N."
    ),
    "checking.right": "First the right one:",
    "checking.wrong": "Then the one with the fault. The report names the leaf and the pattern:",
    "checking.taylor": (
        "The Taylor test asks the same question with a ruler. Without any gradient the loss moves "
        "in proportion to the step. A right gradient takes that part away, and what remains falls "
        "with the square:"
    ),
    "checking.remainders": (
        "Two slopes: the right gradient's remainder falls with slope {right}, the faulty one's "
        "with {wrong}. One glance at the slopes tells them apart, whatever the loss."
    ),
    "checking.remainders.alt": (
        "Remainder of the Taylor test against the step size, both logarithmic: slope {right} for "
        "the right gradient, {wrong} for the one with the planted fault."
    ),
    # 10
    "kinks.title": "Where engines differ",
    "kinks.text": (
        "At a kink there is no one slope: the function comes in with one and leaves with another. "
        "Every slope in between touches the curve without cutting through it, and an engine may "
        "return any of them. They made different choices, and none is wrong."
    ),
    "kinks.absolute": (
        "The absolute value at 0. Every line within the grey fan is a legal answer; the engines "
        "each picked one."
    ),
    "kinks.absolute.alt": (
        "The absolute value around 0 with the fan of legal slopes from −1 to 1, and the slopes "
        "that the backends return: {slopes}."
    ),
    "kinks.table": (
        "What each engine answers exactly at the kink, and the slopes just left and just right of "
        "it, which <code>derivative_along</code> measured. Central differences give their mean. A "
        "NaN is no slope: it says that the formula, not the function, broke down there."
    ),
    "kinks.function": "function",
    "kinks.left": "left",
    "kinks.right": "right",
    "kinks.abs": "|x| at 0",
    "kinks.relu": "max(x, 0) at 0",
    "kinks.clip": "clip(x, −1, 1) at 1",
    "kinks.norm": "‖(x, 0)‖ at 0",
    # shared
    "list.and": " and ",
}
