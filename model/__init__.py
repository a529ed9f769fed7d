"""The prediction model: network, features, registry and engines; knows nothing of RPC, Ray or batching.

Layout, from the numbers inward:

    network.py            the whole network in one file: raw feature windows in, predictions out
    model_config.py       what config.json holds: architecture, normalisation, labels, training metrics
    folded_network.py     the same network with what inference alone allows folded together; what engines trace
    registry.py           <registry>/<name>/<version>/{model.pth, config.json}: save, resolve, load; version_folder.py,
                          weights_file.py, golden_file.py read its files with their checks
    version_import.py     what the original left lying: latest_folder.py, weights_import.py
    engine.py             the Engine protocol; engine_plan.py says which one and why
    torchscript_engine.py, openvino_engine.py, cuda_engine.py, eager_engine.py
    model_loader.py       a version's way to an engine that may serve: verified_version.py, preparation.py (in a child
                          process beside the service), compiled_cache.py, quality_gate.py with golden_set.py, pace.py
    outputs.py            what an engine answers, as numpy arrays
    parity.py             an engine against the eager network, with the tolerances allowed
    bar.py, bar_file.py   one bar, and a CSV file of them
    feature_schema.py     the table of the 50 features and its id; feature_document.py writes docs/features.md
    features.py           bars to features, the same code offline and live; feature_row.py has the formulas,
                          bar_history.py is its bounded memory
    bar_aggregator.py     trades to bars, by event time
    dataset.py            bars to windows, targets, labels and the chronological split
    training.py           a whole run: fitting.py (epochs), losses.py, calibration.py, training_report.py (figures),
                          training_settings.py
    data_errors.py        errors about bars, bar files, feature states and settings
    errors.py             the error tree

Importing this package imports nothing heavy; import the module you need.
"""
