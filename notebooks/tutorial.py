# %% [markdown]
# # The instruments by hand
#
# An agent of maia_kernel works with two objects, `system` (a vision model and the unit under study) and `tools`. You
# can use them yourself, in any notebook. This one takes a unit of the embedded world apart in the way an agent would.
#
# The embedded world draws simple scenes whose content is known: it needs no GPU, no key and no network.

# %%
from maia_kernel import load

system, tools = load("scenes", "layer3", 17)

# %% [markdown]
# ## What excites the unit?
#
# The dataset images with the largest activation. What exceeds the unit's threshold is bright, the rest is dimmed.

# %%
exemplar_data = tools.dataset_exemplars(system)
for activation, image in exemplar_data[:5]:
    tools.display(image, f"activation {activation:.2f}")

# %% [markdown]
# A describer that knows no hypothesis says what stands in the bright regions. It is a small network that reads pixels,
# not a look at the scene's description.

# %%
masked_images = [image for _, image in exemplar_data]
tools.display(tools.describe_images(masked_images[:5], [f"exemplar {rank}" for rank in range(1, 6)]))
tools.display(tools.summarize_images(masked_images))

# %% [markdown]
# All of them show something checkered, whatever its shape and colour. That is a hypothesis, not yet a result: exemplars
# show what goes together with high activation.
#
# ## Pictures to order
#
# `text2image` draws a prompt; what the prompt leaves open varies from picture to picture. `call_neuron` gives the
# activation of each picture, and the picture with its mask.

# %%
prompts = ["a checkered circle"] * 3 + ["a plain circle"] * 3
activations, masked_images = system.call_neuron(tools.text2image(prompts))
for prompt, activation, image in zip(prompts, activations, masked_images):
    tools.display(image, f"{prompt}: {activation:.2f}")

# %% [markdown]
# The checkered circles excite the unit, the plain ones do not.
#
# ## Change one thing
#
# Edits keep everything else as it is. Originals and edited pictures come interleaved.

# %%
edits = [
    "change the texture of the square to plain",
    "make the square blue",
    "replace the square with a star",
    "make it night",
]
all_images, all_prompts = tools.edit_images(["a medium red checkered square on grass by day"], edits)
activations, masked_images = system.call_neuron(all_images)
for number, (prompt, activation, image) in enumerate(zip(all_prompts, activations, masked_images)):
    if number == 0 or prompt in edits:
        tools.display(image, f"{prompt}: {activation:.2f}")

# %% [markdown]
# Only the change of texture takes the activation away: colour, shape and light hardly matter.
#
# ## Measure
#
# One picture is an anecdote. `measure` draws several pictures for each condition and gives every effect an interval;
# `variation=1` would draw others, for a replication.

# %%
textures = ["checkered", "striped", "dotted", "plain"]
result = tools.measure({texture: f"a {texture} object" for texture in textures}, control="plain", repeats=8)

# %% [markdown]
# The interval of "checkered" is far from 0. The result holds the numbers and the pictures.

# %%
tools.display(result.images["checkered"][0], f"one of them: {result.conditions['checkered'][0]:.2f}")

# %% [markdown]
# So: unit 17 responds to checkered objects. `maia run` lets an agent do all this, and leaves such a notebook.
#
# ## Inside the model
#
# `system.model` is the torch module itself, so nothing keeps you from white-box work.

# %%
sum(parameter.numel() for parameter in system.model.parameters())
