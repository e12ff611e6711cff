"""Events: unweighting, flavours and colours that are drawn, files for a parton shower."""
