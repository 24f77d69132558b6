//! A folder that is made where others may write: it gets its name when all that belongs in it is there.
//!
//! Where in the flow: below a folder's remote, for what a push by force keeps. Others may put a link in the place of
//! anything there, at any moment. So what is done goes by handles and not by names: never into another folder than the
//! one that was made, and never through a link.

#[cfg(unix)]
pub(super) use self::by_handle::Making;
#[cfg(not(unix))]
pub(super) use self::by_name::Making;

use std::fs::File;
use std::io;

/// What is no file is not kept: a link leads to what is not the remote's, and maybe nobody else's business.
pub(super) fn refused(is_link: bool) -> io::Error {
    let what = if is_link { "a link" } else { "no file" };
    io::Error::other(format!("it is {what}, which no push makes and none keeps: put a file in its place, or remove it"))
}

/// That others have taken the folder's name away.
fn swapped() -> io::Error {
    io::Error::other(
        "somebody else put something in its place while it was made: see who else writes there, and try again",
    )
}

/// Copies one file's content into another that is new, and lets those read it who might read the first.
fn copy(mut from: File, mut to: File) -> io::Result<()> {
    to.set_permissions(from.metadata()?.permissions())?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

#[cfg(unix)]
mod by_handle {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::path::Path;

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
    use rustix::io::Errno;

    use super::{copy, refused, swapped};

    /// That a file can't get a second name: the file system knows none, or none of another's files, or there are too
    /// many. Android's word for the first is ACCESS.
    const NO_SECOND_NAME: [Errno; 7] =
        [Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::XDEV, Errno::MLINK];

    /// A folder that is being made.
    pub(in super::super) struct Making<'a> {
        /// The folder that it is in.
        above: File,
        /// Its name for the time being.
        name: &'a str,
        folder: File,
    }

    impl<'a> Making<'a> {
        /// Makes it, empty. Nothing may have the name.
        pub(in super::super) fn begin(above: &Path, name: &'a str) -> io::Result<Self> {
            let above = File::open(above)?;
            rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(&above, name, flags, Mode::empty())?.into();
            Ok(Self { above, name, folder })
        }

        /// Gives it a file of the folder above, under the same name: without copying, where the file system knows second
        /// names.
        pub(in super::super) fn take(&self, name: &str) -> io::Result<()> {
            match rustix::fs::linkat(&self.above, name, &self.folder, name, AtFlags::empty()) {
                Ok(()) => {}
                Err(error) if NO_SECOND_NAME.contains(&error) => return self.copy(name),
                Err(error) => return Err(error.into()),
            }
            // A link may have got one too.
            is_file(&rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
        }

        pub(super) fn copy(&self, name: &str) -> io::Result<()> {
            // A pipe would be waited for.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let from = match rustix::fs::openat(&self.above, name, flags, Mode::empty()) {
                Err(Errno::LOOP) => return Err(refused(true)),
                opened => opened?,
            };
            is_file(&rustix::fs::fstat(&from)?)?;
            copy(from.into(), self.create(name, 0o600)?)
        }

        /// Writes a new file in it.
        pub(in super::super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            let mut file = self.create(name, 0o666)?;
            file.write_all(bytes)?;
            file.sync_all()
        }

        fn create(&self, name: &str, mode: u32) -> io::Result<File> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(mode))?.into())
        }

        /// Gives it the name that it keeps, once what is in it is on disk. The caller has that name on disk.
        pub(in super::super) fn finish(self, name: &str) -> io::Result<()> {
            match self.folder.sync_all() {
                // Network file systems know no such thing.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
                synced => synced?,
            }
            rustix::fs::renameat(&self.above, self.name, &self.above, name)?;
            let named = rustix::fs::statat(&self.above, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let made = rustix::fs::fstat(&self.folder)?;
            if (named.st_dev, named.st_ino) == (made.st_dev, made.st_ino) { Ok(()) } else { Err(swapped()) }
        }
    }

    fn is_file(facts: &Stat) -> io::Result<()> {
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::RegularFile => Ok(()),
            other => Err(refused(other == FileType::Symlink)),
        }
    }
}

/// Where there are no such handles, names have to do.
#[cfg(not(unix))]
mod by_name {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::path::{Path, PathBuf};

    use super::{copy, refused, swapped};

    /// A folder that is being made.
    pub(in super::super) struct Making {
        above: PathBuf,
        folder: PathBuf,
    }

    impl Making {
        pub(in super::super) fn begin(above: &Path, name: &str) -> io::Result<Self> {
            let folder = above.join(name);
            std::fs::create_dir(&folder)?;
            Ok(Self { above: above.to_owned(), folder })
        }

        pub(in super::super) fn take(&self, name: &str) -> io::Result<()> {
            let (from, to) = (self.above.join(name), self.folder.join(name));
            let facts = from.symlink_metadata()?;
            if !facts.is_file() {
                return Err(refused(facts.is_symlink()));
            }
            std::fs::hard_link(&from, &to).or_else(|_| copy(File::open(&from)?, File::create_new(&to)?))
        }

        pub(in super::super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            let mut file = File::create_new(self.folder.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        }

        pub(in super::super) fn finish(self, name: &str) -> io::Result<()> {
            let named = self.above.join(name);
            std::fs::rename(&self.folder, &named)?;
            if named.symlink_metadata()?.is_dir() { Ok(()) } else { Err(swapped()) }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use super::*;

    /// A remote's folder with a file in it, and one elsewhere that is nobody else's business.
    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (shared, home) = (folder.path().join("shared"), folder.path().join("home"));
        for (place, text) in [(&shared, "snapshot"), (&home, "secret")] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("db.sqlite"), text).unwrap();
        }
        (folder, shared, home)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn it_has_its_name_when_all_is_there() {
        let (_folder, shared, _) = folders();
        let making = Making::begin(&shared, "part").unwrap();
        making.take("db.sqlite").unwrap();
        making.write("meta", b"facts").unwrap();
        making.finish("kept").unwrap();
        assert_eq!(names(&shared), ["db.sqlite", "kept"]);
        assert_eq!(names(&shared.join("kept")), ["db.sqlite", "meta"]);
        assert_eq!(std::fs::read(shared.join("kept/db.sqlite")).unwrap(), b"snapshot");
    }

    #[test]
    fn a_link_that_takes_its_place_leads_nothing_elsewhere() {
        let (_folder, shared, home) = folders();
        let making = Making::begin(&shared, "part").unwrap();
        let swap = || {
            std::fs::rename(shared.join("part"), shared.join("mine")).unwrap();
            symlink(&home, shared.join("part")).unwrap();
        };
        swap();
        making.take("db.sqlite").unwrap();
        making.write("meta", b"facts").unwrap();
        assert!(making.finish("kept").unwrap_err().to_string().contains("somebody else"));
        assert_eq!(
            (names(&home), names(&shared.join("mine"))),
            (vec!["db.sqlite".into()], vec!["db.sqlite".to_owned(), "meta".to_owned()])
        );
        assert_eq!(std::fs::read(home.join("db.sqlite")).unwrap(), b"secret");
    }

    #[test]
    fn a_link_and_what_is_no_file_are_not_taken() {
        let (_folder, shared, home) = folders();
        std::fs::remove_file(shared.join("db.sqlite")).unwrap();
        symlink(home.join("db.sqlite"), shared.join("db.sqlite")).unwrap();
        let making = Making::begin(&shared, "part").unwrap();
        assert!(making.take("db.sqlite").unwrap_err().to_string().contains("it is a link"));
        std::fs::remove_file(shared.join("part/db.sqlite")).unwrap();
        // Where there are no second names, too.
        assert!(making.copy("db.sqlite").unwrap_err().to_string().contains("it is a link"));
        rustix::fs::mknodat(rustix::fs::CWD, shared.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(making.take("pipe").unwrap_err().to_string().contains("it is no file"));
        std::fs::remove_file(shared.join("part/pipe")).unwrap();
        assert!(making.copy("pipe").unwrap_err().to_string().contains("it is no file"));
        assert_eq!(names(&shared.join("part")), [""; 0]);
    }

    #[test]
    fn a_copy_may_be_read_by_those_who_might_read_the_first() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, shared, _) = folders();
        std::fs::set_permissions(shared.join("db.sqlite"), std::fs::Permissions::from_mode(0o640)).unwrap();
        Making::begin(&shared, "part").unwrap().copy("db.sqlite").unwrap();
        let copy = shared.join("part/db.sqlite");
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read(copy).unwrap(), b"snapshot");
    }
}
