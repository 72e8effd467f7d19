"""Real tables as CSV files, from packages that carry them, and what else predicts from them."""
import warnings
from pathlib import Path

import numpy as np
import pandas
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

# name: the target
TARGETS = {"breast_cancer": "diagnosis", "wine": "cultivar", "diabetes": "progression", "iris": "species",
           "penguins": "sex", "cars": "Miles_per_Gallon", "fair": "affair", "anes96": "vote"}


def write_table(name: str, folder: Path) -> Path:
    """Write one of the tables; return its path."""
    path = folder / f"{name}.csv"
    _frame(name).to_csv(path, index=False)
    return path


def _frame(name):
    target = TARGETS[name]
    if name in ("breast_cancer", "wine", "diabetes", "iris"):
        found = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = found.frame.rename(columns={"target": target})
        if name != "diabetes":
            frame[target] = found.target_names[found.target]
        return frame
    if name == "penguins":    # 344 of three species, some measurements missing; is it a male?
        from palmerpenguins import load_penguins
        return load_penguins()
    with warnings.catch_warnings():    # of their imports
        warnings.simplefilter("ignore")
        if name == "cars":    # 406, of which 8 have no consumption, and others no horsepower
            from vega_datasets import local_data
            frame = local_data.cars()
            return frame.assign(Year=pandas.to_datetime(frame["Year"]).dt.year)
        import statsmodels.api as sm
        frame = getattr(sm.datasets, name).load_pandas().data
    if name == "fair":    # 6,366 answers to a survey on marriage
        frame["affair"] = np.where(frame.pop("affairs") > 0, "yes", "no")
    return frame    # anes96: 944 voters


def others(frame, target: str, classes: list[str] | None) -> dict:
    """Return scikit-learn's gradient boosting and its linear model, with their preparation, unfitted."""
    inputs = frame.drop(columns=target)
    numbers = [name for name in inputs if inputs[name].dtype.kind in "iuf"]
    texts = [name for name in inputs if name not in numbers and inputs[name].nunique() < len(inputs) / 2]
    dense = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
         numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore"), texts)])
    codes = ColumnTransformer([
        ("numbers", "passthrough", numbers),
        ("texts", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), texts)])
    boosting, linear = ((HistGradientBoostingClassifier(random_state=0), LogisticRegression(max_iter=5000))
                        if classes else (HistGradientBoostingRegressor(random_state=0),
                                         RidgeCV(np.geomspace(0.01, 1000, 16))))
    return {"boosting": make_pipeline(codes, boosting), "linear": make_pipeline(dense, linear)}
