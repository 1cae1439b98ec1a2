// The readers that describe() tries, one per format.
//
// `looks_like_*` decide cheaply from the first bytes (or, where a format has no magic, from the
// name); `read_*` describe the file and throw pith::Error when it breaks the format's rules.
#pragma once

#include "pith/io/layout.h"

namespace pith::io {

bool looks_like_safetensors(ByteView file, const std::filesystem::path& name);
Description read_safetensors(ByteView file, const std::filesystem::path& name);

bool looks_like_gguf(ByteView file, const std::filesystem::path& name);
Description read_gguf(ByteView file, const std::filesystem::path& name);

bool looks_like_npy(ByteView file, const std::filesystem::path& name);
Description read_npy(ByteView file, const std::filesystem::path& name);

// Zip archives: PyTorch checkpoints and npz; any other archive is one range of bytes.
bool looks_like_zip(ByteView file, const std::filesystem::path& name);
Description read_zip(ByteView file, const std::filesystem::path& name);

// PyTorch's format before 1.6, which is recognised only to say why it stays bytes.
bool looks_like_old_pytorch(ByteView file, const std::filesystem::path& name);
Description read_old_pytorch(ByteView file, const std::filesystem::path& name);

// model.safetensors.index.json and TensorFlow.js model.json.
bool looks_like_model_json(ByteView file, const std::filesystem::path& name);
Description read_model_json(ByteView file, const std::filesystem::path& name);

bool looks_like_onnx(ByteView file, const std::filesystem::path& name);
Description read_onnx(ByteView file, const std::filesystem::path& name);

bool looks_like_vectors(ByteView file, const std::filesystem::path& name);
Description read_vectors(ByteView file, const std::filesystem::path& name);

}  // namespace pith::io
