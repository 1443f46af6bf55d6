//! Where hoist's MCP server goes: the only crate that will name rmcp, and one that cannot print into
//! its own protocol, since it sees no renderer. This version has no server.
