"""Lists: what an entity can be filtered, sorted and searched by, which rows a page has, and its cursors."""
