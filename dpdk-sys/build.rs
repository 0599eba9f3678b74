//! Build.
fn main(){}
