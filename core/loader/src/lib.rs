//! Providers and plugins as dynamic libraries: trusted code, checked before it is let in.
