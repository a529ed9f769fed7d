"""The Open Inference Protocol v2, `inference.GRPCInferenceService`: our predictions for Triton's and KServe's clients.

Layout, from the messages inward: `inference_service` tells of server and models, `infer_service` predicts;
`decode_infer`, `infer_parameters` and `encode_infer` read and write its messages, `model_card` describes a model in
them; `tensors` and `inference_figures` know no messages.
"""
