"""Circular statistics, scores of angles, domains and latents, and scorers."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_circular": [
            "angle_registration",
            "angular_error",
            "circular_correlation",
            "circular_mean",
        ],
        "_domain_scores": [
            "angle_coherence_score",
            "spatial_coherence_score",
            "variant_accuracy_score",
            "wall_continuity_score",
            "wall_straightness_score",
        ],
        "_domain_scorers": [
            "angle_coherence_scorer",
            "spatial_coherence_scorer",
            "variant_accuracy_scorer",
            "wall_continuity_scorer",
            "wall_straightness_scorer",
        ],
        "_mixture_scorers": [
            "completed_likelihood_scorer",
            "mixture_evidence_scorer",
        ],
        "_representation_scorers": [
            "circular_correlation_scorer",
            "evidence_scorer",
            "neg_angular_error_scorer",
            "neg_latent_leakage_scorer",
            "reconstruction_scorer",
            "rotation_equivariance_scorer",
        ],
        "_representation_scores": [
            "latent_leakage_score",
            "rotation_equivariance_score",
        ],
        "_scorer": ["get_scorer", "get_scorer_names"],
    },
)
