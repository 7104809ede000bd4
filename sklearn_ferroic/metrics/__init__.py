"""Circular statistics, scores of angles, domains and latents, and scorers."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_angle_coherence": ["angle_coherence_score"],
        "_angle_scorers": [
            "circular_correlation_scorer",
            "neg_angular_error_scorer",
        ],
        "_circular": ["angle_registration", "angular_error", "circular_mean"],
        "_circular_correlation": ["circular_correlation"],
        "_label_scorers": [
            "spatial_coherence_scorer",
            "variant_accuracy_scorer",
            "wall_straightness_scorer",
        ],
        "_latent_leakage": ["latent_leakage_score"],
        "_pose_scorers": [
            "angle_coherence_scorer",
            "neg_latent_leakage_scorer",
            "rotation_equivariance_scorer",
        ],
        "_rotation_equivariance": ["rotation_equivariance_score"],
        "_scorer": ["get_scorer", "get_scorer_names"],
        "_spatial_coherence": ["spatial_coherence_score"],
        "_variant_accuracy": ["variant_accuracy_score"],
        "_wall_straightness": ["wall_straightness_score"],
        "_window_scorers": ["evidence_scorer", "reconstruction_scorer"],
    },
)
