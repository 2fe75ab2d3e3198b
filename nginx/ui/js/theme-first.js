// Before anything is painted: the theme that was chosen, if one was.
(() => {
	try {
		const theme = localStorage.getItem('longhaul.theme');
		if (theme === 'light' || theme === 'dark')
			document.documentElement.dataset.theme = theme;
	} catch {
		// Storage is switched off: the system's theme it is.
	}
})();
