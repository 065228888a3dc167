//! What a run is asked to do: [`Options`].

/// Where hashes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScanMode {
    /// The filesystem's checksums where they can be used, reading elsewhere.
    #[default]
    Checksums,
    /// Reading only.
    Read,
}

/// Whether leftovers of partly duplicated extents are written anew, so that the old extents go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// Nothing is written.
    Never,
    /// Where at least twice as much is freed as is written.
    #[default]
    Auto,
    /// Until every distinct block is stored once.
    Max,
}

/// What a run is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where hashes come from.
    pub scan: ScanMode,
    /// Whether leftovers are written anew.
    pub rewrite: Rewrite,
    /// Extents with more references than this stay, and a plan lets none get more: kernels take
    /// long to resolve them. What is there more often is stored again for each so many references.
    pub nr_references_max: usize,
    /// Bytes of memory for sorting; beyond that the records are spilled. It takes half as much
    /// again where what is sorted is sorted again.
    pub sort_bytes_max: usize,
    /// Bytes of memory for a plan, about; one that takes more is not made.
    pub plan_bytes_max: u64,
    /// Duplicate runs that are shorter are left alone, bytes.
    pub run_bytes_min: u64,
    /// Whether what is there twice in one file, and nowhere else, counts.
    pub is_within_files: bool,
    /// How often a plan is made again because the kernel found bytes to differ.
    pub nr_rounds_max: u32,
    /// Whether everything that is moved and goes is kept to be told, or the largest of it. It takes
    /// about as much memory again as the plan.
    pub lists_all: bool,
    /// A number for the program that asks, if what it is told may be what was found the last time:
    /// another program may find something else. `None`: everything is planned anew.
    pub program: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            scan: ScanMode::default(),
            rewrite: Rewrite::default(),
            nr_references_max: 10_000,
            sort_bytes_max: 512 << 20,
            plan_bytes_max: 4 << 30,
            run_bytes_min: 0,
            is_within_files: true,
            nr_rounds_max: 2,
            lists_all: false,
            program: None,
        }
    }
}
