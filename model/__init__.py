"""The prediction model: network, features, registry and engines; knows nothing of RPC, Ray or batching.

Layout, from the numbers inward:

    network.py            the whole network in one file: raw feature windows in, predictions out
    model_config.py       what config.json holds: architecture, normalisation, labels, training metrics
    registry.py           <registry>/<name>/<version>/{model.pth, config.json}: save, resolve, load
    engine.py             the Engine protocol, and the choice of one
    torchscript_engine.py, openvino_engine.py
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
