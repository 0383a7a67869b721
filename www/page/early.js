// Sets the theme and the language of the last visit before the first paint, so that neither flickers. A
// classic script on purpose: a module would run too late.
{
  const root = document.documentElement;
  const stored = (/** @type {string} */ key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage may be disabled
    }
  };
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = stored('theme') ?? (dark ? 'dark' : 'light');
  const language = stored('language') ?? navigator.languages?.find((tag) => /^(en|zh)\b/i.test(tag)) ?? 'en';
  root.lang = /^zh/i.test(language) ? 'zh-CN' : 'en';
}
