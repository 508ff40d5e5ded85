"""Words that become somebody's code on a page that takes them for HTML."""

NAME = '"><img class="hostile" src=x onerror="window.hacked=20">'
"""As a name: of a model, a key, a paper, a conversation."""
PROMPT = "</textarea><script class='hostile'>window.hacked=21</script>{system} ${7*7} {{7*7}}"

ANSWER = """<script class="hostile">window.hacked = 1</script>
<img class="hostile" src=x onerror="window.hacked = 2"> <svg/onload=window.hacked=3 class=hostile>
<iframe class="hostile" srcdoc="<script>parent.hacked = 4</script>"></iframe>
[누름](javascript:window.hacked=5) <a class="hostile" href="javascript:window.hacked=6">누름</a>
![x](http://203.0.113.9/a.png) [data](data:text/html,<script>window.hacked=7</script>)
<style class="hostile">body { display: none }</style>
<form class="hostile" action="http://203.0.113.9/"><input name=a></form>
<math><mtext><img class="hostile" src=x onerror=window.hacked=8></mtext></math>
$\\href{javascript:window.hacked=9}{x}$ $\\htmlData{a=1}{x}$ $\\htmlClass{hostile}{x}$
$\\includegraphics{http://203.0.113.9/b.png}$ <kd-transcript class="hostile" answers="x"></kd-transcript>
```html"><img class="hostile" src=x onerror=window.hacked=10>
</code></pre><img class="hostile" src=x onerror=window.hacked=11>
```
끝까지 왔습니다."""
