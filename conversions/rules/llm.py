"""llm.pt, llm.rl.pt: the Qwen2 backbone, the speech embedding and the speech head."""

from ..mapping import Ignore, Rule

_TEXT_EMBEDDING = "llm.model.model.embed_tokens.weight"
_LAYER = "llm.model.model.layers.{n}"
_OURS = "backbone/layers_{n}"

RULES: tuple[Rule | Ignore, ...] = (
    Rule(_TEXT_EMBEDDING, "text_embedding/embedding"),
    Rule("speech_embedding.weight", "speech_embedding/embedding"),
    Rule("llm_decoder.weight", "speech_head/kernel"),
    Rule("llm.model.model.norm.weight", "backbone/norm/scale"),
    Rule(f"{_LAYER}.input_layernorm.weight", f"{_OURS}/input_norm/scale"),
    Rule(f"{_LAYER}.post_attention_layernorm.weight", f"{_OURS}/post_attention_norm/scale"),
    *(
        rule
        for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"))
        for rule in (
            Rule(f"{_LAYER}.self_attn.{theirs}_proj.weight", f"{_OURS}/attention/{ours}/kernel"),
            Rule(f"{_LAYER}.self_attn.{theirs}_proj.bias", f"{_OURS}/attention/{ours}/bias"),
        )
    ),
    Rule(f"{_LAYER}.self_attn.o_proj.weight", f"{_OURS}/attention/output/kernel"),
    *(Rule(f"{_LAYER}.mlp.{name}_proj.weight", f"{_OURS}/mlp/{name}/kernel") for name in ("gate", "up", "down")),
    Ignore(
        "llm.model.lm_head.weight",
        "tied to the text embedding, and speech needs no text logits",
        lambda _, tensors: tensors[_TEXT_EMBEDDING],
    ),
)
