// A browser does not send the page's cookie when a link elsewhere leads here. Asked for from here,
// it does; once is enough to know.
const again = document.getElementById("again");
again.href = location.pathname + location.hash;
const key = `asked again for ${location.pathname}`;
const lately = Date.now() - Number(sessionStorage.getItem(key) || 0) < 10000;
if (!lately && !location.search) {
  sessionStorage.setItem(key, String(Date.now()));
  location.replace(again.href);
}
