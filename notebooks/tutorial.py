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
# ## Pictures to order
#
# `text2image` draws a prompt; what the prompt leaves open varies from picture to picture. `call_neuron` gives the
# activation of each picture, and the picture with its mask.

# %%
prompts = ["a red circle"] * 3 + ["a blue star"] * 3
activations, masked_images = system.call_neuron(tools.text2image(prompts))
for prompt, activation, image in zip(prompts, activations, masked_images):
    tools.display(image, f"{prompt}: {activation:.2f}")

# %% [markdown]
# ## Change one thing
#
# Edits keep everything else as it is. Originals and edited pictures come interleaved.

# %%
edits = ["make the circle blue", "replace the circle with a star", "make it night", "make the background water"]
all_images, all_prompts = tools.edit_images(["a large red plain circle on grass by day"], edits)
activations, masked_images = system.call_neuron(all_images)
for number, (prompt, activation, image) in enumerate(zip(all_prompts, activations, masked_images)):
    if number == 0 or prompt in edits:
        tools.display(image, f"{prompt}: {activation:.2f}")

# %% [markdown]
# ## Measure
#
# One picture is an anecdote. `measure` draws several pictures for each condition and gives every effect an interval.

# %%
colours = ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"]
result = tools.measure({colour: f"a {colour} object" for colour in colours}, control="black", repeats=8)

# %% [markdown]
# The result holds the numbers and the pictures.

# %%
strongest = max(result.effects, key=lambda effect: effect.difference)
tools.display(result.images[strongest.condition][0], f"{strongest.condition}: {strongest.difference:+.2f}")

# %% [markdown]
# ## Inside the model
#
# `system.model` is the torch module itself, so nothing keeps you from white-box work.

# %%
sum(parameter.numel() for parameter in system.model.parameters())
