//! What huge pages there are, and whether this process may use them.
use std::path::Path;

/// Free huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Bytes per page.
    pub size: u64,
    /// Pages reserved on this host.
    pub total: u64,
    /// Pages of them that nobody uses.
    pub free: u64,
}

/// The host's huge pages by size, from sysfs (the kernel's hugetlbpage.rst), largest pages first.
pub fn free_pages() -> Vec<HugePages> {
    read(Path::new("/sys/kernel/mm/hugepages"))
}

fn read(root: &Path) -> Vec<HugePages> {
    let mut pages: Vec<HugePages> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let number = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok()?.trim().parse().ok();
            Some(HugePages { size: kilobytes << 10, total: number("nr_hugepages")?, free: number("free_hugepages")? })
        })
        .collect();
    pages.sort_by_key(|p| std::cmp::Reverse(p.size));
    pages
}

/// Why `wanted` bytes of huge pages are not to be had, if so.
pub(super) fn missing(wanted: u64) -> Option<String> {
    let pages = free_pages();
    if let Some(reason) = too_few(&pages, wanted) {
        return Some(reason);
    }
    let page = pages.iter().filter(|p| p.free > 0).min_by_key(|p| p.size)?;
    // permission is best asked for by trying
    try_map(page.size).err().map(|e| format!("huge pages of {} kB cannot be used: {e}", page.size >> 10))
}

fn too_few(pages: &[HugePages], wanted: u64) -> Option<String> {
    let free: u64 = pages.iter().map(|p| p.size.saturating_mul(p.free)).sum();
    if pages.iter().all(|p| p.total == 0) {
        return Some("no huge pages are reserved".into());
    }
    (free < wanted).then(|| format!("only {} MB of huge pages are free, {} MB are wanted", free >> 20, wanted >> 20))
}

/// Maps one huge page and unmaps it.
fn try_map(size: u64) -> std::io::Result<()> {
    let length = usize::try_from(size).map_err(std::io::Error::other)?;
    let flags = libc::MAP_PRIVATE
        | libc::MAP_ANONYMOUS
        | libc::MAP_HUGETLB
        | ((size.trailing_zeros() as libc::c_int) << libc::MAP_HUGE_SHIFT);
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the mapping made above, used by nobody.
    unsafe { libc::munmap(address, length) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sysfs() {
        let root = std::env::temp_dir().join(format!("ironbridge-huge-{}", std::process::id()));
        for (name, total, free) in [("hugepages-2048kB", "10\n", "4\n"), ("hugepages-1048576kB", "1\n", "0\n")] {
            let dir = root.join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("nr_hugepages"), total).unwrap();
            std::fs::write(dir.join("free_hugepages"), free).unwrap();
        }
        std::fs::create_dir_all(root.join("nonsense")).unwrap();
        let pages = read(&root);
        std::fs::remove_dir_all(&root).unwrap();
        let small = HugePages { size: 2 << 20, total: 10, free: 4 };
        assert_eq!(pages, [HugePages { size: 1 << 30, total: 1, free: 0 }, small]);
        assert_eq!(too_few(&pages, 8 << 20), None);
        assert_eq!(too_few(&pages, 9 << 20).unwrap(), "only 8 MB of huge pages are free, 9 MB are wanted");
        assert_eq!(too_few(&[], 1).unwrap(), "no huge pages are reserved");
        assert_eq!(read(Path::new("/nonexistent")), []);
    }
}
