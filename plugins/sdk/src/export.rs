/// Exports a [`Plugin`](crate::Plugin) from its library: `busbar_plugin_sdk::export!(MyPlugin);`, once, at the top
/// level. It works under `#![forbid(unsafe_code)]`.
///
/// Two exported data symbols come of it: the [`Entry`](crate::abi::Entry), and the same record once more in a section
/// of its own, which the host reads from the file before it loads anything.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        // Both are exported by name, which keeps them through `--gc-sections`, strip and link-time optimisation.
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".busbar_plugin")]
        pub static BUSBAR_PLUGIN_RECORD: $crate::abi::Record =
            $crate::private::record::<$plugin>(::core::cfg!(panic = "unwind"));

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub static BUSBAR_PLUGIN_ENTRY: $crate::abi::Entry = $crate::abi::Entry {
            record: $crate::private::record::<$plugin>(::core::cfg!(panic = "unwind")),
            vtable: &$crate::private::Shim::<$plugin>::VTABLE,
        };
    };
}
