//! The file system that SQLite is given: the system's own, with every [`Disk`] told what is done in its folder.
//!
//! Where in the flow: SQLite's default here, since the store names none. Files outside of all disks' folders, temporary
//! ones and shared memory are the system's alone.
//!
//! # Safety
//! The only unsafe code of these tests, since SQLite's file systems are tables of C functions. What holds:
//! - SQLite calls a file's methods only between its `xOpen` and its `xClose`, one at a time for each file, with the
//!   memory that it gave `xOpen`, which has room for [`Handle`] and the system's own file behind it (`szOsFile`).
//! - `Handle::tag` comes from `Box::into_raw` in `open` and is dropped once, in `close`.
//! - The system's file system and its methods live for ever; its functions read no more of their first argument than
//!   what the copy of it has (`pAppData`, `mxPathname`).
#![expect(unsafe_code, reason = "see above")]

use std::ffi::{CStr, OsStr};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, OnceLock};

use rusqlite::ffi::{
    SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_filename,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use super::{Disk, Kind};

static DISKS: Mutex<Vec<Disk>> = Mutex::new(Vec::new());

/// What SQLite's memory for an open file begins with; the system's own file follows.
#[repr(C)]
struct Handle {
    base: sqlite3_file,
    tag: *mut Tag,
}

struct Tag {
    disk: Disk,
    content: usize,
}

/// The system's file system.
struct System(*mut sqlite3_vfs);

// SAFETY: it is never written to, and SQLite's own lives for ever.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

static SYSTEM: OnceLock<System> = OnceLock::new();

fn system() -> *mut sqlite3_vfs {
    SYSTEM.get().expect("put before any file is opened").0
}

pub(super) fn put_under(disk: &Disk) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the system's table is copied; the copy, its name among it, is leaked and so lives for ever.
        unsafe {
            let found = sqlite3_vfs_find(std::ptr::null());
            assert!(!found.is_null(), "SQLite has a file system");
            assert!(SYSTEM.set(System(found)).is_ok(), "called once");
            let mut table = *found;
            table.zName = c"torn".as_ptr();
            table.pNext = std::ptr::null_mut();
            table.szOsFile += size_of::<Handle>() as c_int;
            table.xOpen = Some(open);
            table.xDelete = Some(delete);
            assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(table)), 1), SQLITE_OK);
        }
    });
    DISKS.lock().unwrap().push(disk.clone());
}

pub(super) fn take_away(folder: &Path) {
    let gone: Vec<Disk> = {
        let mut disks = DISKS.lock().unwrap();
        let (gone, kept) = disks.drain(..).partition(|disk| disk.folder == folder);
        *disks = kept;
        gone
    };
    // Dropped outside of the lock: dropping a disk takes it away.
    drop(gone);
}

/// The disk that a file lies on.
fn disk_of(path: &Path) -> Option<Disk> {
    let disks = DISKS.lock().unwrap();
    disks.iter().find(|disk| path.parent() == Some(&*disk.folder)).cloned()
}

/// # Safety
/// `name` is null or a C string.
unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: as the caller says.
    (!name.is_null()).then(|| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())).to_owned())
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let kept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    // SAFETY: SQLite's own arguments; the system's file is opened in the room behind the handle, or in all of it.
    unsafe {
        let real = (*system()).xOpen.expect("every file system opens files");
        let path = path_of(name).filter(|_| flags & kept != 0);
        let Some((disk, path)) = path.and_then(|path| Some((disk_of(&path)?, path))) else {
            return real(system(), name, file, flags, flags_out);
        };
        (*file).pMethods = std::ptr::null();
        if let Some(code) = disk.refusal(Kind::Open) {
            return code;
        }
        let opened = real(system(), name, inner(file), flags, flags_out);
        if opened == SQLITE_OK {
            let content = disk.opened(&path, flags & SQLITE_OPEN_MAIN_DB == 0);
            (*file.cast::<Handle>()).tag = Box::into_raw(Box::new(Tag { disk, content }));
            (*file).pMethods = &METHODS;
        }
        opened
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's own arguments.
    unsafe {
        let real = (*system()).xDelete.expect("every file system deletes files");
        let found = path_of(name).and_then(|path| Some((disk_of(&path)?, path)));
        if let Some(code) = found.as_ref().and_then(|(disk, _)| disk.refusal(Kind::Delete)) {
            return code;
        }
        let done = real(system(), name, sync);
        if let Some((disk, path)) = found.filter(|_| done == SQLITE_OK) {
            disk.deleted(&path, sync != 0);
        }
        done
    }
}

/// The system's file behind a handle.
///
/// # Safety
/// `file` is memory that SQLite gave to `open`.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: as the caller says; the handle's size keeps the alignment of pointers.
    unsafe { file.cast::<u8>().add(size_of::<Handle>()).cast() }
}

/// # Safety
/// `file` was opened by `open`, and is not closed.
unsafe fn tag<'a>(file: *mut sqlite3_file) -> &'a Tag {
    // SAFETY: as the caller says.
    unsafe { &*(*file.cast::<Handle>()).tag }
}

/// Passes a call on to the system's file.
macro_rules! real {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let file = inner($file);
        ((*(*file).pMethods).$method.expect("the system has all methods"))(file $(, $argument)*)
    }};
}

/// Methods that only pass on.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*);)*) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> c_int {
            // SAFETY: SQLite's own arguments.
            unsafe { real!(file, $method $(, $argument)*) }
        })*
    };
}

passed_on! {
    file_size = xFileSize(size: *mut i64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    check_reserved = xCheckReservedLock(result: *mut c_int);
    control = xFileControl(operation: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    characteristics = xDeviceCharacteristics();
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, place: *mut *mut c_void);
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int);
    shm_unmap = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite's own argument.
    unsafe { real!(file, xShmBarrier) }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite's own argument; the tag is from `open`, and this is the last call with it.
    unsafe {
        drop(Box::from_raw((*file.cast::<Handle>()).tag));
        real!(file, xClose)
    }
}

unsafe extern "C" fn read(file: *mut sqlite3_file, buffer: *mut c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite's own arguments.
    unsafe {
        match tag(file).disk.refusal(Kind::Read) {
            None => real!(file, xRead, buffer, amount, at),
            Some(code) => code,
        }
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, buffer: *const c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite's own arguments: `amount` bytes to read at `buffer`.
    unsafe {
        let tag = tag(file);
        let refusal = tag.disk.refusal(Kind::Write);
        // As much as a disk takes before it is full, or breaks.
        let length = if refusal.is_some() { amount / 2 } else { amount };
        if length > 0 && !tag.disk.is_cut() {
            let done = real!(file, xWrite, buffer, length, at);
            if done != SQLITE_OK {
                return done;
            }
            let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), length as usize);
            tag.disk.wrote(tag.content, at as usize, bytes);
        }
        refusal.unwrap_or(SQLITE_OK)
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: i64) -> c_int {
    // SAFETY: SQLite's own arguments.
    unsafe {
        let tag = tag(file);
        if let Some(code) = tag.disk.refusal(Kind::Truncate) {
            return code;
        }
        let done = real!(file, xTruncate, length);
        if done == SQLITE_OK {
            tag.disk.truncated(tag.content, length as usize);
        }
        done
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite's own argument.
    let tag = unsafe { tag(file) };
    if let Some(code) = tag.disk.refusal(Kind::Sync) {
        if !tag.disk.is_cut() {
            tag.disk.sync_failed(tag.content);
        }
        return code;
    }
    // The system's own sync is left out: what is tested is when SQLite asks for it.
    tag.disk.synced(tag.content);
    SQLITE_OK
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Without memory maps, which would read and write past these.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
