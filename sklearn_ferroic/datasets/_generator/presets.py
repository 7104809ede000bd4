"""Parameters of the two materials of the generator, and the presets."""

# HAADF brightness of one column of each material, relative to a Bi column, and
# of the diffuse background between the columns. A and B follow a power of the
# mean atomic number, damped as channelling damps it in foils of some 20 nm.
MATERIALS = ("BiFeO3", "La0.7Sr0.3MnO3", "SrTiO3")
A_BRIGHTNESS = (1.0, 0.58, 0.42)
B_BRIGHTNESS = (0.40, 0.36, 0.24)
BACKGROUND = (0.30, 0.22, 0.15)

# Brightness that an A column loses if all of its Bi is exchanged for Sm.
SM_DEFICIT = 0.39
# Share of the beam that the detector catches at the peak of a Bi column.
DETECTED_FRACTION = 0.12
# B columns are a little narrower than A columns, where thermal motion is larger.
B_WIDTH_RATIO = 0.92
# Mistilt: depth over which a column is seen, and by how much deeper the B
# columns are seen than the A columns; both project to shifts when tilted.
DEPTH_SEEN_NM = 8.0
DEPTH_DIFFERENCE_NM = 1.0

# Sigma of the tails in sigmas of the column core.
TAIL_WIDTH_RATIO = 2.0
# Scan lines in one period of the interference. A mains period of 20 ms is three to ten
# lines of 800 px at 2.5 to 8 us a pixel.
INTERFERENCE_PERIOD_LINES = (3.0, 10.0)

PRESETS = {
    "film": {
        "shape": (800, 820),
        "pixel_size": 0.02,
        "lattice_parameter_nm": 0.396,
        "displacement_pm": 40.0,
        "n_variants": 4,
        "wall_width_nm": 0.8,
        "substrate": 0.15,
        "layers": None,
        "interface_width_nm": 0.5,
        "antipolar": "none",
        "doping": 0.1,
        "n_atoms": 50,
        "column_width_nm": 0.05,
        "dose": 25e3,
        "thickness_gradient": 0.2,
        "mistilt_mrad": 2.0,
        "disorder_pm": 3.0,
        "drift": 3.0,
        "jitter": 0.12,
        "intensity_scatter": (0.05, 0.1),
        "tails": 0.03,
        "astigmatism": 1.05,
        "interference": 0.01,
        "detector_gain": 10.0,
        "detector_offset": 100.0,
        "read_noise": 10.0,
        "n_missing": 0,
        "dislocation": False,
    },
    "superlattice": {
        "shape": (840, 800),
        "pixel_size": 0.02,
        "lattice_parameter_nm": 0.396,
        "displacement_pm": 40.0,
        "n_variants": 4,
        "wall_width_nm": 0.8,
        "substrate": 0.0,
        "layers": (10, 6),
        "interface_width_nm": 0.6,
        "antipolar": "alternate",
        "doping": 0.0,
        "n_atoms": 50,
        "column_width_nm": 0.05,
        "dose": 25e3,
        "thickness_gradient": 0.15,
        "mistilt_mrad": 2.0,
        "disorder_pm": 3.0,
        "drift": 3.0,
        "jitter": 0.12,
        "intensity_scatter": (0.05, 0.1),
        "tails": 0.03,
        "astigmatism": 1.05,
        "interference": 0.01,
        "detector_gain": 10.0,
        "detector_offset": 100.0,
        "read_noise": 10.0,
        "n_missing": 0,
        "dislocation": False,
    },
}
