"""Small files of Llama-style models: two layers, three heads, one of them for keys and values."""

import gguf

from course_lib.gguf_file import PackedTensor

HEADS, LAYERS = 3, 2


def shapes(vocab_size, d_model, d_ff):
    """By name, of all tensors but the norms and an output layer of its own."""
    width = d_model // HEADS
    found = {"token_embd": (vocab_size, d_model)}
    for n in range(LAYERS):
        found |= {
            f"blk.{n}.attn_q": (d_model, d_model), f"blk.{n}.attn_output": (d_model, d_model),
            f"blk.{n}.attn_k": (width, d_model), f"blk.{n}.attn_v": (width, d_model),
            f"blk.{n}.ffn_gate": (d_ff, d_model), f"blk.{n}.ffn_up": (d_ff, d_model),
            f"blk.{n}.ffn_down": (d_model, d_ff),
        }  # fmt: skip
    return found


NORMS = ["output_norm", *(f"blk.{n}.{part}_norm" for n in range(LAYERS) for part in ("attn", "ffn"))]


def write(
    path, tensors, *, tokens, d_model, d_ff, architecture="llama", tokenizer="gpt2", pre="gpt-2", more=None
):
    """Tensors as arrays, or as `PackedTensor`; the one merge makes the last token."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(101)
    writer.add_embedding_length(d_model)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_feed_forward_length(d_ff)
    writer.add_layer_norm_rms_eps(0.03125)
    writer.add_rope_freq_base(523.0)
    if tokenizer is not None:
        writer.add_tokenizer_model(tokenizer)
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token.startswith("<") else 1 for token in tokens])
        writer.add_token_merges([" ".join(tokens[-1])])
    if more is not None:
        method, *values = more
        getattr(writer, method)(*values)
    for name, tensor in tensors.items():
        data, packing = (tensor.data, tensor.packing) if isinstance(tensor, PackedTensor) else (tensor, None)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
