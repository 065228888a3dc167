//! Calls that a volume passes on to another one: [`forward!`](crate::forward).

/// Writes the named methods of [`Volume`](crate::Volume), each of which asks the volume in
/// parentheses for the same. It stands in an `impl Volume`, beside the methods that do something of
/// their own. What is neither named nor written does what the trait does, by means of the others.
///
/// ```
/// use volume::{Volume, VolumeError};
///
/// /// A volume that says it is full.
/// struct Full<V>(V);
///
/// impl<V: Volume> Volume for Full<V> {
///     volume::forward! { to (self.0):
///         block_bytes space_rule checksum_strength dedupe_len_max next_page file file_extents
///         references checksums read read_ahead dedupe remove sync used_bytes path
///     }
///
///     fn create(&mut self, _: volume::FileId) -> Result<volume::FileId, VolumeError> {
///         Err(VolumeError::Full { action: "create" })
///     }
///
///     fn write(&mut self, _: volume::FileId, _: u64, _: &[u8]) -> Result<(), VolumeError> {
///         Err(VolumeError::Full { action: "write" })
///     }
///
///     fn flush(&mut self, _: volume::FileId) -> Result<(), VolumeError> {
///         Err(VolumeError::Full { action: "flush" })
///     }
/// }
/// ```
#[macro_export]
macro_rules! forward {
    (to $to:tt: $($method:ident)+) => {
        $( $crate::forward! { @ $to $method } )+
    };
    (@ ($self:ident $($at:tt)*) block_bytes) => {
        fn block_bytes(&$self) -> u64 {
            $self $($at)* .block_bytes()
        }
    };
    (@ ($self:ident $($at:tt)*) space_rule) => {
        fn space_rule(&$self) -> $crate::SpaceRule {
            $self $($at)* .space_rule()
        }
    };
    (@ ($self:ident $($at:tt)*) checksum_strength) => {
        fn checksum_strength(&$self) -> Option<$crate::ChecksumStrength> {
            $self $($at)* .checksum_strength()
        }
    };
    (@ ($self:ident $($at:tt)*) dedupe_len_max) => {
        fn dedupe_len_max(&$self) -> u64 {
            $self $($at)* .dedupe_len_max()
        }
    };
    (@ ($self:ident $($at:tt)*) next_page) => {
        fn next_page(
            &mut $self,
            from: $crate::Position,
            newer_than: u64,
            page: &mut $crate::Page,
        ) -> Result<Option<$crate::Position>, $crate::VolumeError> {
            $self $($at)* .next_page(from, newer_than, page)
        }
    };
    (@ ($self:ident $($at:tt)*) walked) => {
        fn walked(&$self) -> Option<f64> {
            $self $($at)* .walked()
        }
    };
    (@ ($self:ident $($at:tt)*) file) => {
        fn file(
            &mut $self,
            file: $crate::FileId,
        ) -> Result<Option<$crate::File>, $crate::VolumeError> {
            $self $($at)* .file(file)
        }
    };
    (@ ($self:ident $($at:tt)*) file_extents) => {
        fn file_extents(
            &mut $self,
            range: $crate::FileRange,
            found: &mut Vec<$crate::FileExtent>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .file_extents(range, found)
        }
    };
    (@ ($self:ident $($at:tt)*) references) => {
        fn references(
            &mut $self,
            extents: &[$crate::Extent],
        ) -> Result<Vec<$crate::ExtentReferences>, $crate::VolumeError> {
            $self $($at)* .references(extents)
        }
    };
    (@ ($self:ident $($at:tt)*) checksums) => {
        fn checksums(
            &mut $self,
            address: u64,
            len: u64,
            found: &mut Vec<Option<u64>>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .checksums(address, len, found)
        }
    };
    (@ ($self:ident $($at:tt)*) read) => {
        fn read(
            &mut $self,
            file: $crate::FileId,
            offset: u64,
            bytes: &mut [u8],
        ) -> Result<usize, $crate::VolumeError> {
            $self $($at)* .read(file, offset, bytes)
        }
    };
    (@ ($self:ident $($at:tt)*) hash_blocks) => {
        fn hash_blocks(
            &mut $self,
            ranges: &[$crate::FileRange],
            hash: fn(&[u8]) -> u64,
            found: &mut Vec<Result<Vec<u64>, $crate::VolumeError>>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .hash_blocks(ranges, hash, found)
        }
    };
    (@ ($self:ident $($at:tt)*) remembers) => {
        fn remembers(&$self) -> bool {
            $self $($at)* .remembers()
        }
    };
    (@ ($self:ident $($at:tt)*) recall) => {
        fn recall(
            &mut $self,
            kind: $crate::ValueKind,
            extents: &[$crate::Extent],
            recalled: &mut $crate::Recalled,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .recall(kind, extents, recalled)
        }
    };
    (@ ($self:ident $($at:tt)*) learn) => {
        fn learn(
            &mut $self,
            kind: $crate::ValueKind,
            learned: $crate::Learned<'_>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .learn(kind, learned)
        }
    };
    (@ ($self:ident $($at:tt)*) recall_answer) => {
        fn recall_answer(
            &mut $self,
            question: &[u64],
        ) -> Result<Option<Vec<u64>>, $crate::VolumeError> {
            $self $($at)* .recall_answer(question)
        }
    };
    (@ ($self:ident $($at:tt)*) learn_answer) => {
        fn learn_answer(
            &mut $self,
            question: &[u64],
            answer: &mut dyn Iterator<Item = u64>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .learn_answer(question, answer)
        }
    };
    (@ ($self:ident $($at:tt)*) work) => {
        fn work(&$self) -> $crate::Work {
            $self $($at)* .work()
        }
    };
    (@ ($self:ident $($at:tt)*) read_ahead) => {
        fn read_ahead(&mut $self, ranges: &[$crate::FileRange]) {
            $self $($at)* .read_ahead(ranges);
        }
    };
    (@ ($self:ident $($at:tt)*) dedupe) => {
        fn dedupe(
            &mut $self,
            source: $crate::FileRange,
            targets: &[$crate::DedupeTarget],
        ) -> Result<Vec<$crate::DedupeStatus>, $crate::VolumeError> {
            $self $($at)* .dedupe(source, targets)
        }
    };
    (@ ($self:ident $($at:tt)*) nr_at_once) => {
        fn nr_at_once(&$self) -> usize {
            $self $($at)* .nr_at_once()
        }
    };
    (@ ($self:ident $($at:tt)*) dedupe_all) => {
        fn dedupe_all(
            &mut $self,
            requests: &[$crate::DedupeRequest<'_>],
            found: &mut Vec<Result<Vec<$crate::DedupeStatus>, $crate::VolumeError>>,
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .dedupe_all(requests, found)
        }
    };
    (@ ($self:ident $($at:tt)*) create) => {
        fn create(
            &mut $self,
            like: $crate::FileId,
        ) -> Result<$crate::FileId, $crate::VolumeError> {
            $self $($at)* .create(like)
        }
    };
    (@ ($self:ident $($at:tt)*) write) => {
        fn write(
            &mut $self,
            file: $crate::FileId,
            offset: u64,
            bytes: &[u8],
        ) -> Result<(), $crate::VolumeError> {
            $self $($at)* .write(file, offset, bytes)
        }
    };
    (@ ($self:ident $($at:tt)*) begin_flush) => {
        fn begin_flush(&mut $self, file: $crate::FileId) {
            $self $($at)* .begin_flush(file);
        }
    };
    (@ ($self:ident $($at:tt)*) flush) => {
        fn flush(&mut $self, file: $crate::FileId) -> Result<(), $crate::VolumeError> {
            $self $($at)* .flush(file)
        }
    };
    (@ ($self:ident $($at:tt)*) remove) => {
        fn remove(&mut $self, file: $crate::FileId) -> Result<(), $crate::VolumeError> {
            $self $($at)* .remove(file)
        }
    };
    (@ ($self:ident $($at:tt)*) sync) => {
        fn sync(&mut $self) -> Result<(), $crate::VolumeError> {
            $self $($at)* .sync()
        }
    };
    (@ ($self:ident $($at:tt)*) used_bytes) => {
        fn used_bytes(&mut $self) -> Result<u64, $crate::VolumeError> {
            $self $($at)* .used_bytes()
        }
    };
    (@ ($self:ident $($at:tt)*) path) => {
        fn path(&mut $self, file: $crate::FileId) -> Option<String> {
            $self $($at)* .path(file)
        }
    };
}
